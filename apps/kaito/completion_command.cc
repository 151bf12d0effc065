#include "apps/kaito/completion_command.h"

#include <fmt/format.h>

#include <memory>
#include <vector>

namespace kaito {
namespace {

/// One command path and the words that may follow it.
struct Words {
  std::string path;  ///< `kaito model import`
  std::vector<std::string> next;
};

void collect(const CLI::App& command, const std::string& path, std::vector<Words>& out) {
  Words words{path, {}};
  for (const CLI::App* sub : command.get_subcommands(nullptr)) words.next.push_back(sub->get_name());
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) words.next.push_back("--" + name);
  }
  out.push_back(words);
  for (const CLI::App* sub : command.get_subcommands(nullptr)) collect(*sub, path + " " + sub->get_name(), out);
}

std::string bash_script(const std::vector<Words>& all) {
  std::string cases;
  for (const Words& words : all) {
    cases += fmt::format("    '{}') words='{}' ;;\n", words.path, fmt::join(words.next, " "));
  }
  return fmt::format(R"(# bash completion for kaito: source <(kaito completion bash)
_kaito() {{
  local path=kaito word words=''
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    [[ $word == -* ]] || path+=" $word"
  done
  while :; do
    case $path in
{}    esac
    [[ -z $words && $path == *' '* ]] || break
    path=${{path% *}}
  done
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}")
  [[ ${{#COMPREPLY[@]}} -gt 0 ]] || mapfile -t COMPREPLY < <(compgen -f -- "${{COMP_WORDS[COMP_CWORD]}}")
}}
complete -F _kaito kaito
)",
                     cases);
}

std::string fish_script(const std::vector<Words>& all) {
  std::string script = "# fish completion for kaito: kaito completion fish | source\n";
  for (const Words& words : all) {
    const auto space = words.path.find(' ');
    const std::string below = space == std::string::npos ? "" : words.path.substr(space + 1);
    const std::string condition =
        below.empty() ? "__fish_use_subcommand" : fmt::format("__fish_seen_subcommand_from {}", below);
    for (const std::string& word : words.next) {
      script += word.starts_with("--")
                    ? fmt::format("complete -c kaito -n '{}' -l {}\n", condition, word.substr(2))
                    : fmt::format("complete -c kaito -f -n '{}' -a {}\n", condition, word);
    }
  }
  return script;
}

}  // namespace

void add_completion_command(CLI::App& app, Session& session) {
  CLI::App* command = app.add_subcommand("completion", "Print a shell completion script");
  auto shell = std::make_shared<std::string>();
  command->add_option("shell", *shell, "bash, zsh or fish")->required()->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command->footer("Load it with, for example:  source <(kaito completion bash)");
  command->callback([&app, &session, shell] {
    session.run = [&app, shell] {
      std::vector<Words> all;
      collect(app, "kaito", all);
      if (*shell == "fish") {
        fmt::print("{}", fish_script(all));
      } else {
        // zsh runs the bash script through its own emulation.
        if (*shell == "zsh") fmt::print("autoload -U +X bashcompinit && bashcompinit\n");
        fmt::print("{}", bash_script(all));
      }
      return 0;
    };
  });
}

}  // namespace kaito
