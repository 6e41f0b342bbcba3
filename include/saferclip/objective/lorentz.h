// Hyperbolic geometry in the Lorentz model, as in HySAC (arXiv 2503.12127) and MERU (arXiv
// 2304.09172). A point of curvature −c is given by its space components x [B, D]; its time
// component is x_t = √(1/c + |x|²). <x, y>_L = x·y − x_t y_t. Everything is computed and returned
// in float64: in fp32 equal points have no finite gradient. `c` is 0-d.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "saferclip/core/lorentz.h"

namespace saferclip {

// What training starts from, fp32: curvature −1, exp(alpha) = 1/√width, scale 1/0.07.
LorentzScalars initial_lorentz_scalars(std::int64_t width);

// Clamps in place: curvature to [ln 0.1, ln 10], alphas to at most 0, logit_scale to
// [ln(1/0.07), 4.6052].
void clamp_lorentz_scalars(LorentzScalars& scalars);

// exp_0(u): the point that lies in direction u, at distance |u| from the origin.
at::Tensor lift(const at::Tensor& u, const at::Tensor& c);

// The points of un-normalized embeddings: lift(exp(alpha) · rows, c).
at::Tensor lift_embeddings(const at::Tensor& rows, const at::Tensor& alpha, const at::Tensor& c);

// x_t: [B, 1].
at::Tensor time_components(const at::Tensor& x, const at::Tensor& c);

// d(0, x), the radius: [B]. Equals |u| for x = lift(u), up to the largest radius of lift().
at::Tensor radii(const at::Tensor& x, const at::Tensor& c);

// d(x_i, y_j) = acosh(max(1 + 1e-8, −c <x_i, y_j>_L)) / √c: [B, B'].
at::Tensor lorentz_distances(const at::Tensor& x, const at::Tensor& y, const at::Tensor& c);

// How far y_i lies outside the entailment cone of x_i: max(0, φ(x_i, y_i) − ω(x_i)), [B]. Zero
// inside.
at::Tensor outside_cone(const at::Tensor& x, const at::Tensor& y, const at::Tensor& c);

// ½ [CE(−s d(A, B), diagonal) + CE(−s d(B, A), diagonal)] of each row: [B]; `scale` s is 0-d.
// Rows whose `mask` [B] is 0 are not negatives of other rows, and their own value is meaningless;
// undefined: all rows count.
at::Tensor lorentz_contrast(const at::Tensor& a, const at::Tensor& b, const at::Tensor& c,
                            const at::Tensor& scale, const at::Tensor& mask = {});

}  // namespace saferclip
