# Completion of godwit for bash (and zsh after: autoload -U bashcompinit && bashcompinit). The command itself says what may come.
_godwit() {
    local IFS=$'\n'
    # shellcheck disable=SC2207
    COMPREPLY=($(compgen -W "$(godwit "[suggest:$COMP_POINT]" "$COMP_LINE" 2>/dev/null)" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -F _godwit godwit
