# Completion of godwit for fish. The command itself says what may come.
complete -c godwit -f -a '(set -l line (commandline -cp); godwit "[suggest:"(string length -- "$line")"]" "$line" 2>/dev/null)'
