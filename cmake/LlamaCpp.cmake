# Defines `llama_cpp`, an interface target for the static libraries that third_party/llama_cpp/build
# made at KAITO_LLAMA_CPP_DIR. Its headers count as system headers: their warnings are not ours.
if(NOT KAITO_LLAMA_CPP_DIR OR TARGET llama_cpp)
  return()
endif()
if(NOT EXISTS ${KAITO_LLAMA_CPP_DIR}/include/llama.h)
  message(FATAL_ERROR "KAITO_LLAMA_CPP_DIR=${KAITO_LLAMA_CPP_DIR} holds no include/llama.h; "
                      "run third_party/llama_cpp/build and pass the folder that it prints")
endif()

add_library(llama_cpp INTERFACE)
target_include_directories(llama_cpp SYSTEM INTERFACE
  ${KAITO_LLAMA_CPP_DIR}/include ${KAITO_LLAMA_CPP_DIR}/include/common)
set(llama_cpp_libraries)
foreach(library llama-common llama-common-base llama ggml ggml-cpu ggml-base cpp-httplib)
  list(APPEND llama_cpp_libraries ${KAITO_LLAMA_CPP_DIR}/lib/lib${library}.a)
endforeach()
target_link_libraries(llama_cpp INTERFACE
  -Wl,--start-group ${llama_cpp_libraries} -Wl,--end-group Threads::Threads ${CMAKE_DL_LIBS} m)
