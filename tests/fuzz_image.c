/* fuzz_image.c -- any bytes as a picture: decoded or refused; what is decoded can be resized. */
#include "data/image.h"
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tp__image im = {0}, shape = {0}, small = {0};
    const tp_status probed = tp__image_probe(data, size, "file", &shape);
    /* Few pixels, so that the time goes into many inputs. */
    const bool tiny = !probed && (int64_t)shape.height * shape.width < 1 << 20;
    if (tiny && !tp__image_decode(data, size, "file", &im)) {
        assert(im.height == shape.height && im.width == shape.width &&
               im.channels == shape.channels);
        assert(!tp__image_resize(&im, 5, 7, &small));
    }
    tp__image_free(&im);
    tp__image_free(&small);
    tp_error_clear();
    return 0;
}
