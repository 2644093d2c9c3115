//! `completions`: what a shell needs to complete our commands and options.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::arguments::Cli;
use crate::commands::Session;
use crate::errors::CommandError;

/// The options of `completions`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    clpctl completions bash > /etc/bash_completion.d/clpctl\n  \
    clpctl completions zsh > /usr/local/share/zsh/site-functions/_clpctl\n  \
    clpctl completions fish > ~/.config/fish/completions/clpctl.fish")]
pub struct Arguments {
    /// The shell
    pub shell: Shell,
}

/// Prints the completions.
///
/// # Errors
///
/// When standard output cannot be written to.
pub fn run(session: &Session, arguments: &Arguments) -> Result<u8, CommandError> {
    session.console.result(&script(arguments.shell))?;
    Ok(0)
}

fn script(shell: Shell) -> String {
    let mut bytes = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "clpctl", &mut bytes);
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    if shell == Shell::Bash {
        text.push_str(COLONS_FOR_BASH);
    }
    text
}

/// Bash breaks words at colons, so `site:li` reaches a completion as three words; these are joined again, and what
/// stands before the last colon is taken off the answers, for bash keeps it on the line.
const COLONS_FOR_BASH: &str = r#"
_clpctl_with_colons() {
    local -a joined=()
    local word index at=0 glue=0
    for index in "${!COMP_WORDS[@]}"; do
        word="${COMP_WORDS[index]}"
        if ((${#joined[@]})) && { [[ $word == ":" ]] || ((glue)); }; then
            joined[-1]+="$word"
        else
            joined+=("$word")
        fi
        [[ $word == ":" ]] && glue=1 || glue=0
        ((index == COMP_CWORD)) && at=$((${#joined[@]} - 1))
    done
    local -a COMP_WORDS=("${joined[@]}")
    local COMP_CWORD=$at
    local current="${COMP_WORDS[COMP_CWORD]}"
    _clpctl clpctl "$current" "${COMP_WORDS[COMP_CWORD - 1]}"
    if [[ $current == *:* ]]; then
        local before="${current%"${current##*:}"}"
        COMPREPLY=("${COMPREPLY[@]#"$before"}")
    fi
}
complete -F _clpctl_with_colons -o bashdefault -o default clpctl
"#;

#[cfg(test)]
mod tests {
    use super::script;
    use clap_complete::Shell;

    #[expect(
        clippy::disallowed_methods,
        reason = "the shell itself is what is tested"
    )]
    fn bash(line: &str) -> String {
        let words = line.replace(':', " : ");
        let test = format!(
            "{}\nCOMP_WORDS=({words})\nCOMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n_clpctl_with_colons\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
            script(Shell::Bash)
        );
        let output = std::process::Command::new("bash")
            .args(["--norc", "-c", &test])
            .output()
            .unwrap();
        assert!(
            output.stderr.is_empty(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn bash_completes_commands_with_colons_and_their_options() {
        assert_eq!(bash("clpctl site:lo"), "logs\n");
        assert_eq!(bash("clpctl site:l"), "list\nlogs\n");
        assert_eq!(bash("clpctl expl"), "explain\n");
        assert_eq!(
            bash("clpctl lets-encrypt:install:certificate --subj"),
            "--subjectAlternativeName\n"
        );
        assert_eq!(bash("clpctl site:renew-certificates --dry"), "--dry-run\n");
    }

    #[test]
    fn every_shell_gets_every_command() {
        for shell in [
            Shell::Bash,
            Shell::Zsh,
            Shell::Fish,
            Shell::Elvish,
            Shell::PowerShell,
        ] {
            let text = script(shell).replace('\\', "");
            for command in crate::arguments::command_names() {
                assert!(text.contains(&command), "{shell} lacks {command}");
            }
        }
    }
}
