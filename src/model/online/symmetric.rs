//! Square symmetric matrices, row after row: as much as fitting again needs.

/// Adds `by * x * x'` for the named features of a row.
pub(super) fn add_outer(matrix: &mut [f64], d: usize, x: &[super::Feature], by: f64) {
    for &(i, v) in x {
        let row = &mut matrix[usize::from(i) * d..][..d];
        for &(j, w) in x {
            row[usize::from(j)] += by * v * w;
        }
    }
}

/// `matrix * vector`, for a whole vector.
pub(super) fn times(matrix: &[f64], vector: &[f64]) -> Vec<f64> {
    let rows = matrix.chunks_exact(vector.len());
    rows.map(|row| dot(row, vector)).collect()
}

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The inverse, by Cholesky's decomposition; `None` where the matrix is not positive definite.
pub(super) fn inverse(matrix: &[f64], d: usize) -> Option<Vec<f64>> {
    let root = cholesky(matrix, d)?;
    // Column c of the root's inverse starts at its diagonal: rows above are 0.
    let mut inner = vec![0.0; d * d];
    for c in 0..d {
        inner[c * d + c] = 1.0 / root[c * d + c];
        for i in c + 1..d {
            let done = dot(&root[i * d + c..i * d + i], &inner[c * d + c..c * d + i]);
            inner[c * d + i] = -done / root[i * d + i];
        }
    }
    let mut inverse = vec![0.0; d * d];
    for i in 0..d {
        for j in 0..=i {
            let value = dot(
                &inner[i * d + i..(i + 1) * d],
                &inner[j * d + i..(j + 1) * d],
            );
            inverse[i * d + j] = value;
            inverse[j * d + i] = value;
        }
    }
    Some(inverse)
}

/// The lower triangle whose square is the matrix.
fn cholesky(matrix: &[f64], d: usize) -> Option<Vec<f64>> {
    let mut root = matrix.to_vec();
    for i in 0..d {
        for j in 0..=i {
            let done = dot(&root[i * d..i * d + j], &root[j * d..j * d + j]);
            let left = matrix[i * d + j] - done;
            root[i * d + j] = match i == j {
                false => left / root[j * d + j],
                true if left > 0.0 => left.sqrt(),
                true => return None,
            };
        }
    }
    Some(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inverse_is_one() {
        let d = 9;
        let mut matrix = vec![0.0; d * d];
        for t in 0..30_u16 {
            let value = |i: u16| f64::from((t * 7 + i * 5 + t * i) % 11) - 5.0;
            let x: Vec<(u16, f64)> = (0..9).map(|i| (i, value(i))).collect();
            add_outer(&mut matrix, d, &x, 0.3);
        }
        for i in 0..d {
            matrix[i * d + i] += 0.5;
        }
        let inverse = inverse(&matrix, d).unwrap();
        for i in 0..d {
            let product = times(&matrix, &inverse[i * d..][..d]);
            for (j, p) in product.iter().enumerate() {
                let one = f64::from(u8::from(i == j));
                assert!((p - one).abs() < 1e-9, "({i}, {j}): {p}");
            }
        }
    }

    #[test]
    fn what_is_not_positive_definite_has_none() {
        assert_eq!(inverse(&[1.0, 2.0, 2.0, 1.0], 2), None);
        assert_eq!(inverse(&[f64::NAN], 1), None);
    }
}
