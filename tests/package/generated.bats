# What scripts/gen-pointwise writes is checked in as it writes it.
load ../support

gen() { "$TAPER_SOURCE_DIR/scripts/gen-pointwise" "$@" "$TAPER_SOURCE_DIR/src/kernels/pointwise.def"; }

@test "include/taper/pointwise.h is what the table gives" {
    [ "${TAPER_GOLDEN:-}" != rewrite ] || gen >"$TAPER_SOURCE_DIR/include/taper/pointwise.h"
    diff <(gen) "$TAPER_SOURCE_DIR/include/taper/pointwise.h"
}

@test "docs/ops.md ends in the table of the rows" {
    page=$TAPER_SOURCE_DIR/docs/ops.md
    if [ "${TAPER_GOLDEN:-}" = rewrite ]; then
        head=$(sed '/^| op |/,$d' "$page")
        { printf '%s\n\n' "$head"; gen -v what=doc; } >"$page"
    fi
    diff <(gen -v what=doc) <(sed -n '/^| op |/,$p' "$page")
}
