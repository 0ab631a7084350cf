"""XXH64 (Yann Collet's xxHash, 64-bit): portable, with public test vectors, and faster than memory on one core.

The four lanes are independent, so that a compiler keeps four multiplications in flight.
"""

from libc.stdint cimport uint8_t, uint64_t

cdef extern from *:
    """
    #include <stddef.h>
    #include <stdint.h>
    #include <string.h>
    #define COWTREE_P1 11400714785074694791ULL
    #define COWTREE_P2 14029467366897019727ULL
    #define COWTREE_P3 1609587929392839161ULL
    #define COWTREE_P4 9650029242287828579ULL
    #define COWTREE_P5 2870177450012600261ULL
    #define COWTREE_ROTL(x, r) (((x) << (r)) | ((x) >> (64 - (r))))
    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    #define COWTREE_XXH_LE64(x) __builtin_bswap64(x)
    #define COWTREE_XXH_LE32(x) __builtin_bswap32(x)
    #else
    #define COWTREE_XXH_LE64(x) (x)
    #define COWTREE_XXH_LE32(x) (x)
    #endif

    typedef struct {
        uint64_t lanes[4];
        uint64_t seed;
        uint64_t total;
        uint32_t buffered;
        uint8_t buffer[32];
    } Xxh64State;

    static inline uint64_t cowtree_xxh_read64(const uint8_t *p) {
        uint64_t v; memcpy(&v, p, 8); return COWTREE_XXH_LE64(v);
    }
    static inline uint64_t cowtree_xxh_read32(const uint8_t *p) {
        uint32_t v; memcpy(&v, p, 4); return COWTREE_XXH_LE32(v);
    }
    static inline uint64_t cowtree_xxh_round(uint64_t lane, uint64_t input) {
        lane += input * COWTREE_P2;
        return COWTREE_ROTL(lane, 31) * COWTREE_P1;
    }
    static inline uint64_t cowtree_xxh_merge(uint64_t h, uint64_t lane) {
        h ^= cowtree_xxh_round(0, lane);
        return h * COWTREE_P1 + COWTREE_P4;
    }
    static inline uint64_t cowtree_xxh_lanes(const uint64_t *v) {
        uint64_t h = COWTREE_ROTL(v[0], 1) + COWTREE_ROTL(v[1], 7) + COWTREE_ROTL(v[2], 12) + COWTREE_ROTL(v[3], 18);
        for (int i = 0; i < 4; i++) h = cowtree_xxh_merge(h, v[i]);
        return h;
    }
    static inline uint64_t cowtree_xxh_tail(uint64_t h, const uint8_t *p, size_t size) {
        while (size >= 8) {
            h ^= cowtree_xxh_round(0, cowtree_xxh_read64(p));
            h = COWTREE_ROTL(h, 27) * COWTREE_P1 + COWTREE_P4;
            p += 8; size -= 8;
        }
        if (size >= 4) {
            h ^= cowtree_xxh_read32(p) * COWTREE_P1;
            h = COWTREE_ROTL(h, 23) * COWTREE_P2 + COWTREE_P3;
            p += 4; size -= 4;
        }
        while (size) {
            h ^= *p * COWTREE_P5;
            h = COWTREE_ROTL(h, 11) * COWTREE_P1;
            p++; size--;
        }
        h ^= h >> 33; h *= COWTREE_P2; h ^= h >> 29; h *= COWTREE_P3; h ^= h >> 32;
        return h;
    }
    static inline void cowtree_xxh_seed(uint64_t *v, uint64_t seed) {
        v[0] = seed + COWTREE_P1 + COWTREE_P2; v[1] = seed + COWTREE_P2; v[2] = seed; v[3] = seed - COWTREE_P1;
    }
    static inline const uint8_t *cowtree_xxh_stripes(uint64_t *v, const uint8_t *p, size_t count) {
        uint64_t a = v[0], b = v[1], c = v[2], d = v[3];
        for (; count; count--, p += 32) {
            a = cowtree_xxh_round(a, cowtree_xxh_read64(p));
            b = cowtree_xxh_round(b, cowtree_xxh_read64(p + 8));
            c = cowtree_xxh_round(c, cowtree_xxh_read64(p + 16));
            d = cowtree_xxh_round(d, cowtree_xxh_read64(p + 24));
        }
        v[0] = a; v[1] = b; v[2] = c; v[3] = d;
        return p;
    }
    static inline uint64_t cowtree_xxh64(const void *data, size_t size, uint64_t seed) {
        const uint8_t *p = (const uint8_t *)data;
        uint64_t h;
        if (size >= 32) {
            uint64_t v[4];
            cowtree_xxh_seed(v, seed);
            p = cowtree_xxh_stripes(v, p, size / 32);
            h = cowtree_xxh_lanes(v);
        } else {
            h = seed + COWTREE_P5;
        }
        return cowtree_xxh_tail(h + (uint64_t)size, p, size % 32);
    }
    static inline void cowtree_xxh64_start(Xxh64State *s, uint64_t seed) {
        memset(s, 0, sizeof *s);
        s->seed = seed;
        cowtree_xxh_seed(s->lanes, seed);
    }
    static inline void cowtree_xxh64_update(Xxh64State *s, const void *data, size_t size) {
        const uint8_t *p = (const uint8_t *)data;
        s->total += size;
        if (s->buffered) {
            size_t take = 32 - s->buffered;
            if (take > size) take = size;
            memcpy(s->buffer + s->buffered, p, take);
            s->buffered += (uint32_t)take; p += take; size -= take;
            if (s->buffered < 32) return;
            cowtree_xxh_stripes(s->lanes, s->buffer, 1);
            s->buffered = 0;
        }
        p = cowtree_xxh_stripes(s->lanes, p, size / 32);
        s->buffered = (uint32_t)(size % 32);
        if (s->buffered) memcpy(s->buffer, p, s->buffered);
    }
    static inline uint64_t cowtree_xxh64_finish(const Xxh64State *s) {
        uint64_t h = s->total >= 32 ? cowtree_xxh_lanes(s->lanes) : s->seed + COWTREE_P5;
        return cowtree_xxh_tail(h + s->total, s->buffer, s->buffered);
    }
    """
    ctypedef struct Xxh64State:
        uint64_t total
    uint64_t xxh64 "cowtree_xxh64"(const void* data, size_t size, uint64_t seed) noexcept nogil
    void xxh64_start "cowtree_xxh64_start"(Xxh64State* state, uint64_t seed) noexcept nogil
    void xxh64_update "cowtree_xxh64_update"(Xxh64State* state, const void* data, size_t size) noexcept nogil
    uint64_t xxh64_finish "cowtree_xxh64_finish"(const Xxh64State* state) noexcept nogil
