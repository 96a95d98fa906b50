/* taper/io.h -- files that tensors go in and out of. Hostile input is refused, never trusted. */
#ifndef TAPER_IO_H
#define TAPER_IO_H
#include "tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* safetensors: strings of the dictionary are its __metadata__. Written atomically (a temporary
 * file, fsync, rename); read tensors are copies. EIO, EFORMAT name the file and the reason. */
TP_API TP_MUST_CHECK tp_status tp_save_safetensors(const tp_dict *d, const char *path);
TP_API TP_OWNED tp_dict *tp_load_safetensors(const char *path);
/* The same from memory (`name` stands in errors). */
TP_API TP_OWNED tp_dict *tp_parse_safetensors(const void *bytes, size_t size, const char *name);

/* NumPy's .npy: one tensor. C and Fortran order are read; C order is written. */
TP_API TP_MUST_CHECK tp_status tp_save_npy(tp_tensor *x, const char *path);
TP_API TP_SCOPED tp_tensor *tp_load_npy(const char *path);

#ifdef __cplusplus
}
#endif

#ifndef TAPER_PLAIN
#define tp_save_safetensors(...) TP__STATUS(tp_save_safetensors(__VA_ARGS__))
#define tp_load_safetensors(...) TP__OBJECT(tp_load_safetensors(__VA_ARGS__))
#define tp_parse_safetensors(...) TP__OBJECT(tp_parse_safetensors(__VA_ARGS__))
#define tp_save_npy(...) TP__STATUS(tp_save_npy(__VA_ARGS__))
#define tp_load_npy(...) TP__SITE(tp_load_npy(__VA_ARGS__))
#endif
#endif
