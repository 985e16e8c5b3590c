/* From bytes to what networks see: the constants of normalisation, and noise for learning to denoise. */
#include "data/data_impl.h"

#include <string.h>

const char *const dt_normalise_names[] = {"data", "imagenet", "cirkd", "measure", "symmetric", NULL};

dt_normalisation dt_normalisation_of(dt_normalise n, const dt_data_facts *f)
{
    switch (n) {
    case DT_NORMALISE_IMAGENET:
        return (dt_normalisation){255, {0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}, false};
    case DT_NORMALISE_CIRKD: return (dt_normalisation){1, {104.007f, 116.669f, 122.679f}, {1, 1, 1}, true};
    case DT_NORMALISE_SYMMETRIC: return (dt_normalisation){127.5f, {1, 1, 1}, {1, 1, 1}, false};
    case DT_NORMALISE_DATA:
    case DT_NORMALISE_MEASURE: break;
    }
    dt_normalisation data = {.unit = 255};
    memcpy(data.mean, f->mean, sizeof data.mean);
    memcpy(data.std, f->std, sizeof data.std);
    return data;
}

void dt_noise_apply(const dt_noising *noising, int32_t time, dt_rng eps_stream, size_t n, float *image, float *eps)
{
    float signal = noising->signal[time], noise = noising->noise[time];
    for (size_t i = 0; i < n; i++) {
        eps[i] = dt_rng_normal(&eps_stream);
        image[i] = signal * image[i] + noise * eps[i];
    }
}
