/* SHA-256, from libcrypto, as the hexadecimal text that people compare. */
#include "base/base.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

static void to_hex(const unsigned char *digest, char hex[65])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < 32; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[64] = '\0';
}

void dt_sha256(const void *bytes, size_t n, char hex[65])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    if (!EVP_Digest(bytes, n, digest, NULL, EVP_sha256(), NULL)) DT_BUG("libcrypto refused SHA-256");
    to_hex(digest, hex);
}

static duet_status digest_stream(FILE *f, EVP_MD_CTX *context, const char *path, char hex[65], duet_error *err)
{
    unsigned char piece[65536], digest[EVP_MAX_MD_SIZE];
    size_t got;
    if (!EVP_DigestInit_ex(context, EVP_sha256(), NULL)) DT_BUG("libcrypto refused SHA-256");
    while ((got = fread(piece, 1, sizeof piece, f)) > 0)
        if (!EVP_DigestUpdate(context, piece, got)) DT_BUG("libcrypto failed on %zu bytes", got);
    if (ferror(f)) return dt_fail(err, DUET_IO, "%s: cannot read it: %s", path, strerror(errno));
    if (!EVP_DigestFinal_ex(context, digest, NULL)) DT_BUG("libcrypto did not finish");
    to_hex(digest, hex);
    return DUET_OK;
}

duet_status dt_sha256_file(const char *path, char hex[65], duet_error *err)
{
    FILE *f = fopen(path, "rbe");
    if (!f) return dt_fail(err, DUET_IO, "%s: cannot open it: %s", path, strerror(errno));
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    duet_status st = context ? digest_stream(f, context, path, hex, err)
                             : dt_fail(err, DUET_MEMORY, "%s: not enough memory to read it", path);
    EVP_MD_CTX_free(context);
    fclose(f);
    return st;
}
