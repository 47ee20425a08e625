//! Symmetric matrices by their lower triangle, row after row.
//!
//! Entry (i, j), j at most i, stands at `i (i + 1) / 2 + j` whatever the width is: a wider matrix is a longer list,
//! and a quadratic form is one sum of products along it.

use std::ops::Range;

/// How many numbers a matrix of `d` rows has.
pub(super) const fn len(d: usize) -> usize {
    d * (d + 1) / 2
}

/// Where row `i` stands, its diagonal last.
pub(super) const fn row(i: usize) -> Range<usize> {
    len(i)..len(i + 1)
}

/// Where the diagonal of row `i` stands.
pub(super) const fn diagonal(i: usize) -> usize {
    len(i) + i
}

/// Sum of products of the numbers that both have. Several sums side by side, so that they need not wait for each other.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    const LANES: usize = 8;
    let n = a.len().min(b.len());
    let (a, b) = (&a[..n], &b[..n]);
    let (whole_a, whole_b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = whole_a.remainder().iter().zip(whole_b.remainder());
    let rest: f64 = rest.map(|(a, b)| a * b).sum();
    let mut sums = [0.0; LANES];
    for (a, b) in whole_a.zip(whole_b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let [a, b, c, d, e, f, g, h] = sums;
    rest + (((a + b) + (c + d)) + ((e + f) + (g + h)))
}

/// `to += by * x`, as far as both go.
pub(super) fn add(to: &mut [f64], by: f64, x: &[f64]) {
    for (to, x) in to.iter_mut().zip(x) {
        *to += by * x;
    }
}

/// Adds `by * x * x'`.
pub(super) fn add_outer(matrix: &mut [f64], by: f64, x: &[f64]) {
    for (i, &v) in x.iter().enumerate() {
        if v != 0.0 {
            add(&mut matrix[row(i)], by * v, &x[..=i]);
        }
    }
}

/// `matrix * x`.
pub(super) fn times(matrix: &[f64], x: &[f64]) -> Vec<f64> {
    let mut product = vec![0.0; x.len()];
    for (i, &v) in x.iter().enumerate() {
        let row = &matrix[row(i)];
        product[i] += dot(row, &x[..=i]);
        if v != 0.0 {
            add(&mut product[..i], v, row);
        }
    }
    product
}

/// The lower triangle whose square is the matrix (Cholesky); `None` where it is not positive definite.
pub(super) fn root(matrix: &[f64], d: usize) -> Option<Vec<f64>> {
    let mut root = matrix[..len(d)].to_vec();
    for i in 0..d {
        let (above, own) = root.split_at_mut(len(i));
        for j in 0..i {
            let other = &above[row(j)];
            own[j] = (own[j] - dot(&own[..j], &other[..j])) / other[j];
        }
        let left = own[i] - dot(&own[..i], &own[..i]);
        if left.is_nan() || left <= 0.0 {
            return None;
        }
        own[i] = left.sqrt();
    }
    Some(root)
}

/// The `x` with `matrix * x = b`, by the matrix's root.
pub(super) fn solve(root: &[f64], b: &[f64]) -> Vec<f64> {
    let mut x = b.to_vec();
    for i in 0..x.len() {
        let row = &root[row(i)];
        x[i] = (x[i] - dot(row, &x[..i])) / row[i];
    }
    for i in (0..x.len()).rev() {
        let row = &root[row(i)];
        let (before, own) = x.split_at_mut(i);
        own[0] /= row[i];
        add(before, -own[0], row);
    }
    x
}

/// The matrix's inverse, by its root.
pub(super) fn inverse(root: &[f64], d: usize) -> Vec<f64> {
    // Column c of the root's inverse begins at its diagonal: above is 0.
    let mut columns = vec![0.0; d * d];
    for c in 0..d {
        let column = &mut columns[c * d..][..d];
        column[c] = 1.0 / root[diagonal(c)];
        for i in c + 1..d {
            let row = &root[row(i)];
            column[i] = -dot(&row[c..i], &column[c..i]) / row[i];
        }
    }
    let mut inverse = Vec::with_capacity(len(d));
    for i in 0..d {
        let own = &columns[i * d + i..(i + 1) * d];
        inverse.extend((0..=i).map(|j| dot(own, &columns[j * d + i..(j + 1) * d])));
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(d: usize) -> Vec<f64> {
        let mut matrix = vec![0.0; len(d)];
        for t in 0..30_u16 {
            let value = |i: u16| f64::from((t * 7 + i * 5 + t * i) % 11) - 5.0;
            let x: Vec<f64> = (0..d).map(|i| value(i as u16)).collect();
            add_outer(&mut matrix, 0.3, &x);
        }
        (0..d).for_each(|i| matrix[diagonal(i)] += 0.5);
        matrix
    }

    #[test]
    fn an_inverse_is_one_and_solves() {
        for d in [1, 2, 9, 20] {
            let matrix = matrix(d);
            let root = root(&matrix, d).unwrap();
            let inverse = inverse(&root, d);
            for i in 0..d {
                let unit: Vec<f64> = (0..d).map(|j| f64::from(u8::from(i == j))).collect();
                let solved = solve(&root, &unit);
                for (j, (p, one)) in times(&matrix, &solved).iter().zip(&unit).enumerate() {
                    assert!((p - one).abs() < 1e-9, "({i}, {j}): {p}");
                }
                for (j, (a, b)) in times(&inverse, &unit).iter().zip(&solved).enumerate() {
                    assert!((a - b).abs() < 1e-9, "({i}, {j}): {a}, {b}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_positive_definite_has_no_root() {
        assert_eq!(root(&[1.0, 2.0, 1.0], 2), None);
        assert_eq!(root(&[f64::NAN], 1), None);
    }

    #[test]
    fn sums_of_products_are_those_of_the_numbers_that_both_have() {
        let a: Vec<f64> = (0..23).map(f64::from).collect();
        for n in 0..23 {
            let plain: f64 = a[..n].iter().map(|v| v * v).sum();
            assert_eq!(dot(&a, &a[..n]), plain, "{n}");
        }
    }
}
