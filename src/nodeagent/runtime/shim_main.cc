#include "nodeagent/runtime/shim.h"

int main() { return nodeagent::shim_main(); }
