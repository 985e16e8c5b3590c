/* <duet/network.h>, duet_network_sample: the sampling of src/train. */
#include "api/api_impl.h"

duet_status duet_network_sample(duet_network *network, const duet_sample_options *options, size_t n, uint8_t *pixels, float *values, duet_error *err)
{
    const duet_sample_options o = options ? *options : (duet_sample_options){0};
    if (o.sampler != DUET_SAMPLER_DDIM && o.sampler != DUET_SAMPLER_ANCESTRAL)
        return dt_fail(err, DUET_ARG, "there is no sampler number %d; there are DUET_SAMPLER_DDIM and DUET_SAMPLER_ANCESTRAL", (int)o.sampler);
    const dt_sample_spec spec = {
        .sampler = {.kind = o.sampler == DUET_SAMPLER_DDIM ? DT_SAMPLER_DDIM : DT_SAMPLER_ANCESTRAL,
                    .steps = o.steps ? o.steps : DUET_SAMPLE_STEPS,
                    .eta = o.eta,
                    .variance = o.variance == DUET_VARIANCE_SMALL ? DT_VARIANCE_SMALL : DT_VARIANCE_LARGE},
        .seed = o.seed,
        .first = o.first,
        .n = n,
        .progress = o.progress,
        .user = o.user,
    };
    return dt_sample(dt_api_trained(network), &spec, pixels, values, err);
}
