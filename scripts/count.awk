# Reads ctest's LastTest.log and prints a line per case, "passed|failed|skipped (preset) program: case".
# A program that speaks TAP counts by its cases (and once more as failed, if it died); one that does
# not counts as one.

/^[0-9]+\/[0-9]+ Test: / { program = $3; cases = bad = planned = 0; why = ""; next }
program == "" { next }
/^1\.\.[0-9]+$/ { planned += substr($0, 4); next }
/^# (missing|because): / { why = " (" substr($0, 3) ")"; next }
/^(not )?ok [0-9]+/ {
    name = $0
    sub(/^(not )?ok [0-9]+ *(- *)?/, "", name)
    if (tolower(name) ~ /# skip/) {
        verdict = "skipped"
        sub(/^# [Ss][Kk][Ii][Pp] */, "", name) # cmocka names the case behind the word, bats before it
    } else {
        verdict = /^not/ ? "failed" : "passed"
    }
    bad += verdict == "failed"
    cases++
    print verdict " (" preset ") " program ": " name (verdict == "skipped" ? why : "")
    why = ""
    next
}
/^Test Passed\.$/ { finish(1); next }
/^"[^"]*" time elapsed: / { finish(0) }

function finish(good) {
    if (!bad && (!good || cases < planned)) {
        print "failed (" preset ") " program ": ended after " cases " of " planned " cases"
    }
    if (good && !cases) print "passed (" preset ") " program
    program = ""
}
