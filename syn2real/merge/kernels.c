/* The loops of a merge for which torch passes over memory many times. Each gives, bit by bit, what its equal in Python
 * gives: a machine without a compiler writes the same files, only later.
 *
 * To be built with -ffp-contract=off: were a * b + c fused, its last bit would depend on the processor. Arrays of one
 * call do not overlap, unless it says so. Nothing here allocates memory or fails. */

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__FAST_MATH__) || FLT_EVAL_METHOD != 0
#error "sums that are not rounded as they are written would be other sums"
#endif
#if defined(_MSC_VER)
#pragma fp_contract(off)
#endif
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "random numbers of 16 bits are taken from words as little-endian machines store them"
#endif

#if defined(_WIN32)
#define PUBLIC __declspec(dllexport)
#else
#define PUBLIC
#endif
#if defined(__GNUC__) && __GNUC__ >= 12 && defined(__x86_64__) && defined(__gnu_linux__)
#define LOOP PUBLIC __attribute__((target_clones("arch=x86-64-v4", "avx2", "default"))) /* chosen when it is loaded */
#elif defined(__GNUC__) && defined(__x86_64__) && defined(__gnu_linux__)
#define LOOP PUBLIC __attribute__((target_clones("avx2", "default")))
#else
#define LOOP PUBLIC
#endif
#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#else
#define INLINE static inline
#endif

/* As in kernels.py. */
enum kind { FLOAT64, FLOAT32, BFLOAT16, FLOAT16 };
enum rule { ALL, TRIMMED, BANDED, DRAWN, RESCALED, MASKED };
enum { MOST = 12 }; /* models of one sum */

enum { LEVELS = 1 << 16 }; /* of chance, as in trimming.py */
enum { TILE = 256 };       /* elements: a dozen tiles of float64 fit a core's first cache */
enum { LANES = 512 };      /* sums of `add_up` and `norms`, as in kernels.py */

INLINE float as_float(uint32_t bits) { float x; memcpy(&x, &bits, sizeof x); return x; }
INLINE double as_double(uint64_t bits) { double x; memcpy(&x, &bits, sizeof x); return x; }
INLINE uint32_t bits_of(float x) { uint32_t bits; memcpy(&bits, &x, sizeof bits); return bits; }
INLINE uint64_t bits_of_double(double x) { uint64_t bits; memcpy(&bits, &x, sizeof bits); return bits; }
INLINE double magnitude(double x) { return as_double(bits_of_double(x) & ~(1ull << 63)); }

INLINE float from_float16(uint16_t half) {
    uint32_t size = half & 0x7fffu, normal = (size << 13) + 0x38000000u;
    uint32_t subnormal = bits_of((float)(int32_t)(size & 0x3ffu) * 0x1p-24f); /* a product of normal numbers */
    uint32_t found = size < 0x0400u ? subnormal : size < 0x7c00u ? normal : size << 13 | 0x7f800000u;
    return as_float(found | (half & 0x8000u) << 16);
}

/* To nearest, ties to even. */
INLINE uint16_t to_bfloat16(float x) {
    uint32_t bits = bits_of(x);
    return (uint16_t)(x != x ? 0x7fc0u : (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

INLINE uint16_t to_float16(float x) {
    uint32_t bits = bits_of(x), size = bits & 0x7fffffffu;
    uint32_t normal = (size - 0x38000000u + 0xfffu + (size >> 13 & 1u)) >> 13;
    /* Below 2^-14 the sum with 0.5 rounds to multiples of float16's least number; its last bits count them. */
    uint32_t subnormal = bits_of(as_float(size) + 0.5f) - 0x3f000000u;
    uint32_t found = size < 0x38800000u ? subnormal : normal;
    found = size >= 0x477ff000u ? 0x7c00u : found;
    found = size > 0x7f800000u ? 0x7e00u : found;
    return (uint16_t)(found | (bits >> 16 & 0x8000u));
}

/* float64 as float32, truncated, with the last bit set where anything was cut off: rounding to odd, after which a
 * second rounding to 16 bits gives what a single one would (Boldo and Melquiond, 2008). */
INLINE float to_odd(double x) {
    const uint64_t low = (1ull << 29) - 1;
    uint64_t bits = bits_of_double(x);
    return (float)as_double((((bits & low) + low) | bits) & ~low);
}

INLINE double number(const void *values, int kind, int64_t i) {
    if (kind == FLOAT64) return ((const double *)values)[i];
    if (kind == FLOAT32) return ((const float *)values)[i];
    if (kind == BFLOAT16) return as_float((uint32_t)((const uint16_t *)values)[i] << 16);
    return from_float16(((const uint16_t *)values)[i]);
}

/* A loop with the kind as a constant, KIND, so that it is compiled for each. */
#define BY_KIND(kind, loop) \
    do { \
        if ((kind) == FLOAT64) { enum { KIND = FLOAT64 }; loop; } \
        else if ((kind) == FLOAT32) { enum { KIND = FLOAT32 }; loop; } \
        else if ((kind) == BFLOAT16) { enum { KIND = BFLOAT16 }; loop; } \
        else { enum { KIND = FLOAT16 }; loop; } \
    } while (0)

INLINE void load(double *tile, const void *values, int kind, int64_t start, int count) {
    BY_KIND(kind, for (int i = 0; i < count; i++) tile[i] = number(values, KIND, start + i));
}

/* What is loaded, less ``origin``. */
INLINE void load_difference(double *tile, const void *values, int kind, int64_t start, int count,
                            const double *origin) {
    BY_KIND(kind, for (int i = 0; i < count; i++) tile[i] = number(values, KIND, start + i) - origin[i]);
}

INLINE void store(void *result, int kind, int64_t start, int count, const double *tile) {
    if (kind == FLOAT64) {
        memcpy((double *)result + start, tile, (size_t)count * sizeof *tile);
    } else if (kind == FLOAT32) {
        float *y = (float *)result + start;
        for (int i = 0; i < count; i++) y[i] = (float)tile[i];
    } else if (kind == BFLOAT16) {
        uint16_t *y = (uint16_t *)result + start;
        for (int i = 0; i < count; i++) y[i] = to_bfloat16(to_odd(tile[i]));
    } else {
        uint16_t *y = (uint16_t *)result + start;
        for (int i = 0; i < count; i++) y[i] = to_float16(to_odd(tile[i]));
    }
}

INLINE int tile_at(int64_t start, int64_t count) { return count - start < TILE ? (int)(count - start) : TILE; }

/* Raised whenever a function here takes or gives something else: kernels.py calls none of another version. */
PUBLIC int version(void) { return 6; }

/* What linkers of Windows ask of an extension of Python. It is not imported. */
PUBLIC void *PyInit__kernels(void) { return 0; }

/* result = sum of factors[t] * values[t], in float64, rounded once. */
LOOP void combine(void *result, int kind, int64_t count, int terms, const double *factors, const void *const *values,
                  const int *kinds) {
    double total[TILE], part[TILE];
    for (int64_t start = 0; start < count; start += TILE) {
        int n = tile_at(start, count);
        load(total, values[0], kinds[0], start, n);
        for (int i = 0; i < n; i++) total[i] *= factors[0];
        for (int t = 1; t < terms; t++) {
            load(part, values[t], kinds[t], start, n);
            for (int i = 0; i < n; i++) total[i] += part[i] * factors[t];
        }
        store(result, kind, start, n, total);
    }
}

/* A sum of shares is raised to the ``least`` positive share; where that is 0, for there are negative ones, it is taken
 * for 1 unless it is farther than ``nothing`` from 0. Whether a sum of votes of 0 is positive; whether the sum of what
 * agrees is divided by that of shares. */
struct election {
    double least, nothing;
    int32_t positive, divide;
};

/* total = the sum of values[m] over the models whose vote has the sign of the sum of votes, divided by the sum of their
 * shares; 0 where none has. */
INLINE void elect_of(int models, double *total, int n, const double *const *values, const double *const *votes,
                     const double *shares, const struct election *how) {
    const double zero = how->positive ? 1.0 : 0.0, least = how->least, nothing = how->nothing;
    const int divide = how->divide, raise = least > 0;
    const double *value[MOST], *vote[MOST];
    double weight[MOST];
    for (int m = 0; m < models; m++) {
        value[m] = values[m];
        vote[m] = votes[m];
        weight[m] = shares[m];
    }
    for (int i = 0; i < n; i++) {
        double sign = vote[0][i];
        for (int m = 1; m < models; m++) sign += vote[m][i];
        sign = sign > 0 ? 1.0 : sign < 0 ? -1.0 : zero;
        double agrees = vote[0][i] * sign > 0 ? 1.0 : 0.0, sum = value[0][i] * agrees, share = agrees * weight[0];
        for (int m = 1; m < models; m++) {
            agrees = vote[m][i] * sign > 0 ? 1.0 : 0.0;
            sum += value[m][i] * agrees;
            share += agrees * weight[m];
        }
        double divisor = raise ? (share < least ? least : share) : fabs(share) <= nothing ? 1.0 : share;
        total[i] = divide ? sum / divisor : sum;
    }
}

/* The usual numbers of models as constants, for which the loops over them unroll. */
INLINE void elect(double *total, int n, int models, const double *const *values, const double *const *votes,
                  const double *shares, const struct election *how) {
    if (models == 2) elect_of(2, total, n, values, votes, shares, how);
    else if (models == 3) elect_of(3, total, n, values, votes, shares, how);
    else elect_of(models, total, n, values, votes, shares, how);
}

/* In place of values[0], what is elected; votes may be the values themselves. At most MOST models. */
LOOP void agreeing_mean(int64_t count, int models, double *const *values, const double *const *votes,
                        const double *shares, const struct election *how) {
    double total[TILE];
    for (int64_t start = 0; start < count; start += TILE) {
        int n = tile_at(start, count);
        const double *value[MOST] = {0}, *vote[MOST] = {0};
        for (int m = 0; m < models; m++) {
            value[m] = values[m] + start;
            vote[m] = votes[m] + start;
        }
        elect(total, n, models, value, vote, shares, how);
        memcpy(values[0] + start, total, (size_t)n * sizeof *total);
    }
}

/* ``n`` numbers, at most TILE, of the stream ``seed`` from ``first`` on, see draws.py: somewhere in ``drawn``. */
INLINE const int16_t *draw(int16_t drawn[TILE + 4], uint64_t seed, int64_t first, int n) {
    uint64_t words[TILE / 4 + 1];
    int64_t word = first / 4;
    int count = (n + 3) / 4 + 1;
    for (int i = 0; i < count; i++) {
        uint64_t z = seed + (uint64_t)(word + i + 1) * 0x9E3779B97F4A7C15u;
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
        z = (z ^ z >> 27) * 0x94D049BB133111EBu;
        words[i] = z ^ z >> 31;
    }
    memcpy(drawn, words, (size_t)count * sizeof *words);
    return drawn + (first - word * 4);
}

/* 1 for every element whose number of the stream is at most its limit, 0 elsewhere. One limit for all of them unless
 * ``each`` has its own. */
LOOP void keep(double *mask, uint64_t seed, int64_t first, int64_t count, const int16_t *limits, int each) {
    int16_t drawn[TILE + 4], limit = limits[0];
    for (int64_t start = 0; start < count; start += TILE) {
        int n = tile_at(start, count);
        const int16_t *number = draw(drawn, seed, first + start, n);
        if (each)
            for (int i = 0; i < n; i++) mask[start + i] = number[i] <= limits[start + i];
        else
            for (int i = 0; i < n; i++) mask[start + i] = number[i] <= limit;
    }
}

/* The values, with 0 for those whose magnitude is below ``cut`` and for those that equal it, but for the first ``left``
 * of these; as they are where the cut is not positive. Returns how many of them may still be kept. */
INLINE int64_t trim_tile(double *result, const double *values, int n, double cut, int64_t left) {
    int64_t equal = 0;
    if (cut <= 0) {
        memmove(result, values, (size_t)n * sizeof *result);
        return left;
    }
    if (!left) {
        for (int i = 0; i < n; i++) result[i] = magnitude(values[i]) <= cut ? 0.0 : values[i];
        return 0;
    }
    for (int i = 0; i < n; i++) equal += magnitude(values[i]) == cut;
    if (equal > left)
        for (int i = 0, seen = 0; i < n; i++) {
            double size = magnitude(values[i]);
            seen += size == cut;
            result[i] = size < cut || (size == cut && seen > left) ? 0.0 : values[i];
        }
    else
        for (int i = 0; i < n; i++) result[i] = magnitude(values[i]) < cut ? 0.0 : values[i];
    return equal < left ? left - equal : 0;
}

LOOP int64_t trim(double *result, const double *values, int64_t count, double cut, int64_t left) {
    for (int64_t start = 0; start < count; start += TILE)
        left = trim_tile(result + start, values + start, tile_at(start, count), cut, left);
    return left;
}

/* One model of a sparse sum, or of norms: its values, which of their differences to the base are kept, what these are
 * multiplied by, its weight in the sum and its share in an election. */
struct part {
    const void *values;
    const int16_t *limits; /* one for all elements for DRAWN, one for each for RESCALED */
    const uint8_t *mask;   /* for MASKED */
    uint64_t seed;         /* for DRAWN and RESCALED */
    double cut, outer;     /* for TRIMMED, and for BANDED, which drops what the outer one would keep */
    int64_t left, outside; /* of elements that equal these cuts; lowered by those that are kept */
    double factor, weight, share;
    int32_t kind, rule;
};

/* The tile's part of one model's difference: what is kept of it. */
INLINE void keep_part(double *x, int64_t start, int n, int64_t first, struct part *part) {
    int16_t drawn[TILE + 4];
    if (part->rule == TRIMMED) {
        part->left = trim_tile(x, x, n, part->cut, part->left);
    } else if (part->rule == BANDED) {
        double outer[TILE];
        part->outside = trim_tile(outer, x, n, part->outer, part->outside);
        part->left = trim_tile(x, x, n, part->cut, part->left);
        for (int i = 0; i < n; i++) x[i] -= outer[i];
    } else if (part->rule == MASKED) {
        const uint8_t *mask = part->mask + start;
        for (int i = 0; i < n; i++) x[i] *= mask[i];
    } else if (part->rule != ALL) {
        const int16_t *number = draw(drawn, part->seed, first + start, n), *limits = part->limits;
        if (part->rule == DRAWN)
            for (int i = 0; i < n; i++) x[i] *= number[i] <= *limits;
        else
            for (int i = 0; i < n; i++) {
                double chance = (limits[start + i] + (LEVELS / 2 + 1)) / (double)LEVELS;
                x[i] = x[i] * (number[i] <= limits[start + i]) / chance;
            }
    }
}

INLINE void multiply(double *x, int n, double factor) {
    if (factor != 1.0)
        for (int i = 0; i < n; i++) x[i] *= factor;
}

/* result = base + scale * (the weighted differences that are kept, summed, or elected where ``how`` is given), rounded
 * once. ``first`` is the number of the first element in its tensor. With ``unweighted`` votes have no weights. At most
 * MOST models. */
LOOP void sparse_sum(void *result, int kind, int64_t first, int64_t count, const void *base, int base_kind, int models,
                     struct part *parts, const struct election *how, int unweighted, double scale) {
    double origin[TILE], total[TILE], values[MOST][TILE], votes[MOST][TILE], shares[MOST];
    const double *value[MOST], *vote[MOST];
    for (int m = 0; m < models; m++) {
        value[m] = values[m];
        vote[m] = unweighted ? votes[m] : values[m];
        shares[m] = parts[m].share;
    }
    for (int64_t start = 0; start < count; start += TILE) {
        int n = tile_at(start, count);
        load(origin, base, base_kind, start, n);
        for (int m = 0; m < models; m++) {
            double *x = values[m], weight = parts[m].weight;
            load_difference(x, parts[m].values, parts[m].kind, start, n, origin);
            keep_part(x, start, n, first, parts + m);
            multiply(x, n, parts[m].factor);
            if (unweighted) memcpy(votes[m], x, (size_t)n * sizeof *x);
            multiply(x, n, weight);
        }
        if (how) {
            elect(total, n, models, value, vote, shares, how);
        } else {
            memcpy(total, values[0], (size_t)n * sizeof *total);
            for (int m = 1; m < models; m++)
                for (int i = 0; i < n; i++) total[i] += values[m][i];
        }
        multiply(total, n, scale);
        for (int i = 0; i < n; i++) total[i] += origin[i];
        store(result, kind, start, n, total);
    }
}

/* To lane k, in order, the values whose number, from ``first`` on, is k modulo LANES. */
LOOP void add_up(double *lanes, const double *values, int64_t first, int64_t count) {
    for (int64_t start = 0, n; start < count; start += n) {
        int64_t place = (first + start) % LANES;
        n = count - start < LANES - place ? count - start : LANES - place;
        for (int64_t i = 0; i < n; i++) lanes[place + i] += values[start + i];
    }
}

/* The same of |model - base| to ``whole``, and to ``kept`` of what is kept of it, times the factor. */
LOOP void norms(double *whole, double *kept, int64_t first, int64_t count, const void *base, int base_kind,
                struct part *part) {
    double x[TILE], origin[TILE];
    for (int64_t start = 0, n; start < count; start += n) {
        int64_t place = (first + start) % LANES;
        n = tile_at(start, count) < LANES - place ? tile_at(start, count) : LANES - place;
        load(origin, base, base_kind, start, (int)n);
        load_difference(x, part->values, part->kind, start, (int)n, origin);
        for (int64_t i = 0; i < n; i++) whole[place + i] += magnitude(x[i]);
        keep_part(x, start, (int)n, first, part);
        multiply(x, (int)n, part->factor);
        for (int64_t i = 0; i < n; i++) kept[place + i] += magnitude(x[i]);
    }
}

/* model - base in float32: what float64's difference would be rounded to, for that of two numbers of float32 it rounds
 * twice without harm (Figueroa 1995). Of two differences the larger is never rounded to less than the smaller. */
INLINE void load_float_difference(float *tile, const void *model, int model_kind, const void *base, int base_kind,
                                  int64_t start, int count) {
    if (model_kind == FLOAT64 || base_kind == FLOAT64) {
        double exact[TILE], origin[TILE];
        load(origin, base, base_kind, start, count);
        load_difference(exact, model, model_kind, start, count, origin);
        for (int i = 0; i < count; i++) tile[i] = (float)exact[i];
    } else {
        float origin[TILE];
        BY_KIND(base_kind, for (int i = 0; i < count; i++) origin[i] = (float)number(base, KIND, start + i));
        BY_KIND(model_kind, for (int i = 0; i < count; i++) tile[i] = (float)number(model, KIND, start + i) - origin[i]);
    }
}

/* The number of the lowest bit that is set; there is one. */
INLINE int lowest(uint64_t bits) {
#if defined(__GNUC__)
    return __builtin_ctzll(bits);
#else
    int found = 0;
    while (!(bits >> found & 1u)) found++;
    return found;
#endif
}

/* The places of the bytes of 64 that are 1, others being 0, as bits. */
INLINE uint64_t places_of(const uint8_t *bytes) {
    uint64_t found = 0, eight;
    for (int i = 0; i < 64; i += 8) { /* the product moves the last bit of byte k to bit 56 + k, without a carry */
        memcpy(&eight, bytes + i, sizeof eight);
        found |= (eight * 0x0102040810204080ull >> 56) << i;
    }
    return found;
}

/* Every ``stride``-th of |model - base|, from element ``first`` on. Returns how many these are. */
LOOP int64_t sample(const void *model, int model_kind, const void *base, int base_kind, int64_t count, int64_t first,
                    int64_t stride, double *result) {
    int64_t found = 0;
    for (int64_t i = first; i < count; i += stride)
        result[found++] = magnitude(number(model, model_kind, i) - number(base, base_kind, i));
    return found;
}

/* How magnitudes lie to two bounds. */
struct screened { int64_t above, at_high, at_low, unordered; };

/* Of |model - base|: how many lie above ``high``, at it, and at ``low``, how many are NaN, and, in order, those strictly
 * between the bounds. Returns how many these are; ``inside`` has room for all. */
LOOP int64_t screen(const void *model, int model_kind, const void *base, int base_kind, int64_t count, double low,
                    double high, struct screened *result, double *inside) {
    const int32_t infinite = 0x7f800000, most = (int32_t)bits_of((float)high);
    const int32_t least = low > 0 ? (int32_t)bits_of((float)low) : 0;
    const uint32_t width = (uint32_t)(most - least);
    enum { MANY = 8 * TILE };
    float size[TILE];
    double exact[MANY];
    uint8_t within[MANY + 63];
    int16_t places[MANY];
    int64_t found = 0;
    struct screened all = {0};
    for (int64_t begin = 0; begin < count; begin += MANY) { /* magnitudes order as their bits do */
        int length = count - begin < MANY ? (int)(count - begin) : MANY, kept = 0;
        for (int start = 0; start < length; start += TILE) {
            int n = tile_at(start, length);
            int32_t larger = 0, nan = 0;
            uint8_t *inner = within + start;
            load_float_difference(size, model, model_kind, base, base_kind, begin + start, n);
            for (int i = 0; i < n; i++) {
                int32_t bits = (int32_t)(bits_of(size[i]) & 0x7fffffffu);
                larger += bits > most;
                nan += bits > infinite;
                inner[i] = (uint32_t)(bits - least) <= width;
            }
            all.above += larger - nan;
            all.unordered += nan;
        }
        memset(within + length, 0, 63);
        for (int i = 0; i < length; i += 64) /* few of them lie within */
            for (uint64_t bits = places_of(within + i); bits; bits &= bits - 1)
                places[kept++] = (int16_t)(i + lowest(bits));
        BY_KIND(base_kind, for (int k = 0; k < kept; k++) exact[k] = number(base, KIND, begin + places[k]));
        BY_KIND(model_kind, for (int k = 0; k < kept; k++) exact[k] -= number(model, KIND, begin + places[k]));
        for (int k = 0; k < kept; k++) { /* float32 may not have told them from a bound */
            double x = magnitude(exact[k]);
            all.above += x > high;
            all.at_high += x == high;
            all.at_low += x == low;
            inside[found] = x;
            found += (x > low) & (x < high);
        }
    }
    *result = all;
    return found;
}

/* float64 as whole numbers that order as they do, NaN apart; and back. */
INLINE uint64_t ordered(double x) {
    uint64_t bits = bits_of_double(x);
    return bits >> 63 ? ~bits : bits | 1ull << 63;
}
INLINE double unordered(uint64_t key) { return as_double(key >> 63 ? key & ~(1ull << 63) : ~key); }

/* What stands at ``place`` among the values when they are sorted; none of them is NaN. Found by counting them in ranges,
 * then those of the right range, and so on. ``keys`` has room for all. */
LOOP double nth(const double *values, int64_t count, int64_t place, uint64_t *keys) {
    enum { RANGES = 1 << 11 };
    uint64_t least, most;
    for (int64_t i = 0; i < count; i++) keys[i] = ordered(values[i]);
    for (;;) {
        int64_t counts[RANGES] = {0}, found = 0;
        uint64_t range = 0;
        int shift = 0;
        least = most = keys[0];
        for (int64_t i = 1; i < count; i++) {
            least = keys[i] < least ? keys[i] : least;
            most = keys[i] > most ? keys[i] : most;
        }
        if (least == most) return unordered(least);
        while ((most - least) >> shift >= RANGES) shift++;
        for (int64_t i = 0; i < count; i++) counts[(keys[i] - least) >> shift]++;
        while (place >= counts[range]) place -= counts[range++];
        for (int64_t i = 0; i < count; i++) {
            uint64_t key = keys[i];
            keys[found] = key;
            found += (key - least) >> shift == range;
        }
        count = found;
    }
}

/* One row of |model - base|, or of the model's magnitudes where the base is NULL, in float32 as bits. Returns the
 * largest. */
INLINE uint32_t load_row(uint32_t *bits, const void *model, int model_kind, const void *base, int base_kind,
                         int64_t row, int64_t columns) {
    float x[TILE];
    uint32_t most = 0;
    for (int64_t start = 0; start < columns; start += TILE) {
        int n = tile_at(start, columns);
        int64_t at = row * columns + start;
        if (base)
            load_float_difference(x, model, model_kind, base, base_kind, at, n);
        else
            BY_KIND(model_kind, for (int i = 0; i < n; i++) x[i] = (float)number(model, KIND, at + i));
        for (int i = 0; i < n; i++) {
            uint32_t size = bits_of(x[i]) & 0x7fffffffu;
            bits[start + i] = size;
            most = size > most ? size : most;
        }
    }
    return most;
}

/* Of magnitudes as `load_row` has them, the ``span`` largest that a row can hold: what they are counted from, and a
 * magnitude so counted, 0 for all that are smaller. */
INLINE uint32_t floor_under(uint32_t most, uint32_t span) { return most >= span ? most - span + 1 : 0; }
INLINE uint32_t over(uint32_t size, uint32_t floor) { return size > floor ? size - floor : 0; }

/* For every row, magnitudes as `load_row` has them, and keys that sort as they do with each element's place in the last
 * ``places`` bits: what lies more than ``span`` below the row's largest, and the last ``coarse`` bits, find no room. */
LOOP void rank_keys(const void *model, int model_kind, const void *base, int base_kind, int64_t rows, int64_t columns,
                    int places, int coarse, uint32_t span, uint32_t *bits, uint32_t *keys) {
    for (int64_t row = 0; row < rows; row++, bits += columns, keys += columns) {
        uint32_t most = load_row(bits, model, model_kind, base, base_kind, row, columns);
        uint32_t floor = floor_under(most, span);
        for (int64_t i = 0; i < columns; i++) keys[i] = over(bits[i], floor) >> coarse << places | (uint32_t)i;
    }
}

/* ranked[place of the k-th of the sorted keys] = by_rank[k], row by row, once elements that differ and have the same
 * key are in order; 1 in ``wrong`` for rows in which one would have to move further than NEAR. The keys are
 * overwritten. */
LOOP void rank_places(uint32_t *keys, const uint32_t *bits, int64_t rows, int64_t columns, int places,
                      const int16_t *by_rank, int16_t *ranked, uint8_t *wrong) {
    enum { NEAR = 32 };
    const uint32_t mask = (1u << places) - 1;
    for (int64_t row = 0; row < rows; row++, keys += columns, bits += columns, ranked += columns) {
        uint32_t before = 0;
        int disorder = 0;
        for (int64_t k = 0; k < columns; k++) {
            uint32_t place = keys[k] & mask, size = bits[place];
            if (size >= before) {
                before = size;
                continue;
            }
            int64_t at = k;
            for (; at > 0 && k - at < NEAR && bits[keys[at - 1] & mask] > size; at--) keys[at] = keys[at - 1];
            keys[at] = place;
            disorder |= at > 0 && bits[keys[at - 1] & mask] > size;
        }
        for (int64_t k = 0; k < columns; k++) ranked[keys[k] & mask] = by_rank[k];
        wrong[row] = (uint8_t)disorder;
    }
}

/* Of magnitudes in float32, sixteen a binade from a row's largest down: the first has all that is smaller, too. */
enum { BUCKETS = 256, BUCKET_BITS = 19 };

/* How many of a row are smaller than the one at ``place``, or equal to it and earlier. */
INLINE int32_t rank_of(const uint32_t *bits, int64_t columns, int64_t place) {
    const int32_t size = (int32_t)bits[place]; /* of 31 bits */
    int32_t before = 0;
    for (int64_t i = 0; i < place; i++) before += (int32_t)bits[i] <= size;
    for (int64_t i = place + 1; i < columns; i++) before += (int32_t)bits[i] < size;
    return before;
}

/* 1 for every element whose number of the stream is at most by_rank[its rank by magnitude in its row], 0 elsewhere, for
 * rows of fewer than 2^16 elements. Only what drew a number above by_rank[0] and not above by_rank[last] hangs on its
 * rank: ``least`` has, from by_rank[0] + 1 on, the first rank whose limit is not below the number. A histogram tells
 * most of these on which side of it they are; the others' ranks are counted. ``bits`` and ``bucket`` have room for a
 * row. */
LOOP void keep_by_rank(const void *model, int model_kind, const void *base, int base_kind, int64_t rows,
                       int64_t columns, uint64_t seed, int64_t first, const int16_t *by_rank, const uint16_t *least,
                       uint32_t *bits, uint16_t *bucket, uint8_t *mask) {
    const int32_t bottom = by_rank[0], top = by_rank[columns - 1];
    const uint32_t width = (uint32_t)(top - bottom);
    uint8_t within[TILE + 63];
    int16_t drawn[TILE + 4];
    uint16_t places[TILE];
    for (int64_t row = 0; row < rows; row++, first += columns, mask += columns) {
        uint32_t most = load_row(bits, model, model_kind, base, base_kind, row, columns);
        uint32_t floor = floor_under(most, (uint32_t)BUCKETS << BUCKET_BITS);
        uint16_t begin[BUCKETS + 1] = {0}; /* the rank of each bucket's smallest */
        uint16_t odd[BUCKETS] = {0};       /* neighbours often share a bucket, and a count waits for the one before */
        for (int64_t i = 0; i < columns; i++) bucket[i] = (uint16_t)(over(bits[i], floor) >> BUCKET_BITS);
        for (int64_t i = 0; i + 1 < columns; i += 2) {
            begin[bucket[i] + 1]++;
            odd[bucket[i + 1]]++;
        }
        if (columns % 2) begin[bucket[columns - 1] + 1]++;
        for (int b = 0; b < BUCKETS; b++) begin[b + 1] = (uint16_t)(begin[b + 1] + odd[b] + begin[b]);
        for (int64_t start = 0; start < columns; start += TILE) {
            int n = tile_at(start, columns), asked = 0, unsure = 0;
            const int16_t *number = draw(drawn, seed, first + start, n);
            for (int i = 0; i < n; i++) {
                mask[start + i] = number[i] <= bottom;
                within[i] = (uint32_t)(number[i] - bottom - 1) < width;
            }
            memset(within + n, 0, 63);
            for (int i = 0; i < n; i += 64)
                for (uint64_t found = places_of(within + i); found; found &= found - 1)
                    places[asked++] = (uint16_t)(i + lowest(found));
            for (int k = 0; k < asked; k++) {
                int i = places[k], wanted = least[number[i] - bottom - 1], b = bucket[start + i];
                mask[start + i] = begin[b] >= wanted;
                places[unsure] = (uint16_t)i;
                unsure += (begin[b] < wanted) & (begin[b + 1] > wanted);
            }
            for (int k = 0; k < unsure; k++) {
                int i = places[k];
                mask[start + i] = rank_of(bits, columns, start + i) >= least[number[i] - bottom - 1];
            }
        }
    }
}
