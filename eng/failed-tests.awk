# The failed tests of a .trx file, a paragraph each that begins with the time it started: name, message, where, and
# the end of what it wrote. For ./test, which sorts them: the first failure is often the cause of the others.
function text(line) {
    gsub(/^ *<[A-Za-z]+>/, "", line); gsub(/<\/[A-Za-z]+>.*$/, "", line)
    gsub(/&lt;/, "<", line); gsub(/&gt;/, ">", line); gsub(/&quot;/, "\"", line); gsub(/&#xD;/, "", line)
    gsub(/&amp;/, "\\&", line)
    return substr(line, 1, 300)
}
function attribute(name) { return match($0, " " name "=\"[^\"]*\"") ? text(substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 4)) : "" }
/<UnitTestResult / {
    failed = /outcome="Failed"/
    if (failed) paragraph = attribute("startTime") " " attribute("testName") " after " attribute("duration")
    lines = stack = heard = 0; part = ""
}
!failed { next }
/<Message>/ { part = "message" }
/<StackTrace>/ { part = "stack" }
/<StdOut>/ { part = "output" }
part == "message" && ++lines <= 12 { paragraph = paragraph "\f    " text($0) }
part == "stack" && ++stack <= 4 { paragraph = paragraph "\f      " text($0) }
part == "output" { wrote[heard++ % 15] = text($0) }
/<\/(Message|StackTrace|StdOut)>/ { part = "" }
/<\/UnitTestResult>/ {
    for (i = heard > 15 ? heard - 15 : 0; i < heard; i++) paragraph = paragraph "\f    | " wrote[i % 15]
    print paragraph
    failed = 0
}
