/* examples/pictures.c -- takes pictures out of a data set of any layout, as PNG files to look at or
 * to show to a model: `pictures DIR OUT N` writes N of its test images as OUT/CLASS-NUMBER.png. To
 * the library a data set is two tensors, images [N, C, H, W] of bytes and labels [N]. */
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <taper.h>

/* One image [C, H, W] to a file: libpng wants the channels of a pixel side by side. */
static bool write_png(const char *path, tp_tensor *image) {
    tp_tensor *hwc = tp_contiguous(tp_permute(image, TP_DIMS(1, 2, 0)));
    if (!hwc) return false;
    png_image png = {.version = PNG_IMAGE_VERSION,
                     .height = (png_uint_32)tp_size(hwc, 0),
                     .width = (png_uint_32)tp_size(hwc, 1),
                     .format = tp_size(hwc, 2) == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB};
    if (png_image_write_to_file(&png, path, 0, tp_data_ptr(hwc), 0, NULL)) return true;
    tp_error_set(TP_EIO, "%s: %s", path, png.message);
    return false;
}

int main(int argc, char **argv) {
    const int64_t wanted = argc == 4 ? atoll(argv[3]) : 0;
    if (wanted < 1) return fprintf(stderr, "usage: pictures DIR OUT N\n"), 2;
    tp_images *im = tp_images_read(argv[1], .test_only = true);
    tp_tensor *x, *y;
    const tp_part part = tp_images_count(im, TP_TEST, -1) > 0 ? TP_TEST : TP_VALID;
    if (!im || tp_images_tensors(im, part, &x, &y)) return tp_perror("pictures");

    const int64_t n = tp_size(x, 0);
    for (int64_t k = 0; k < wanted && k < n; k++) {
        const int64_t i = k * n / wanted;
        const char *class = tp_images_class(im, (int)tp_data_i64(y)[i]);
        char path[4096];
        snprintf(path, sizeof path, "%s/%s-%05lld.png", argv[2], class, (long long)i);
        if (!write_png(path, tp_select(x, 0, i))) return tp_perror("pictures");
        puts(path);
    }
    tp_images_free(im);
    return 0;
}
