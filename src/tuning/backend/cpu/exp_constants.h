#pragma once

namespace tuning {

// exp(x) = 2^n * e^r with n = round(x / ln 2); e^r by a polynomial of degree 7, 2 ulp.
// Source: Cephes, expf.c.
inline constexpr float kExpSmallest = -87.0f;
inline constexpr float kExpLargest = 88.0f;
inline constexpr float kLog2E = 1.44269504088896341f;
inline constexpr float kLn2High = 0.693359375f;
inline constexpr float kLn2Low = -2.12194440e-4f;
inline constexpr float kExpTerms[6] = {1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f,
                                       4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f};

}  // namespace tuning
