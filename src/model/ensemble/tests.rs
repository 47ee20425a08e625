use super::*;
use proptest::prelude::*;

fn leaf(value: f64) -> DraftNode {
    DraftNode::Leaf { value, id: 0 }
}

fn number(input: u32, threshold: f64, left: u32, right: u32) -> DraftNode {
    DraftNode::Number {
        input,
        threshold,
        nan_left: false,
        zero_left: None,
        left,
        right,
    }
}

fn draft(nodes: &[DraftNode]) -> Draft {
    Draft {
        nodes: nodes.to_vec(),
        ..Draft::default()
    }
}

fn ensemble(inputs: usize, codes: Codes, drafts: &[Draft]) -> Ensemble {
    let mut builder = Builder::new(inputs, codes);
    for draft in drafts {
        builder.add(draft).unwrap();
    }
    let output = Output {
        base: 0.5,
        divisor: drafts.len() as f64,
        link: Link::Identity,
    };
    builder.finish(output).unwrap()
}

/// The obvious walk over the file's own order.
fn walk(draft: &Draft, row: &[f64]) -> f64 {
    let mut at = 0;
    loop {
        match draft.nodes[at] {
            DraftNode::Leaf { value, .. } => return value,
            DraftNode::Number {
                input,
                threshold,
                left,
                right,
                ..
            } => {
                let goes_left = row[input as usize] <= threshold;
                at = if goes_left { left } else { right } as usize;
            }
            DraftNode::Category { .. } => unreachable!("only numbers are drawn"),
        }
    }
}

/// Grows a leaf of the tree into a split as often as told; leaves' values tell them apart.
fn grown(steps: &[(usize, u32, i8)]) -> Draft {
    let mut nodes = vec![leaf(0.0)];
    for &(pick, input, threshold) in steps {
        let leaves: Vec<usize> = (0..nodes.len())
            .filter(|&i| matches!(nodes[i], DraftNode::Leaf { .. }))
            .collect();
        let at = leaves[pick % leaves.len()];
        let next = nodes.len() as u32;
        nodes[at] = number(input, threshold.into(), next + 1, next);
        nodes.extend([leaf(f64::from(next)), leaf(f64::from(next) + 0.5)]);
    }
    draft(&nodes)
}

proptest! {
    #[test]
    fn laying_out_changes_no_answer(
        trees in prop::collection::vec(prop::collection::vec((0..99_usize, 0..3_u32, -3..3_i8), 0..40), 1..5),
        rows in prop::collection::vec(prop::collection::vec(prop_oneof![Just(f64::NAN), (-4..4_i8).prop_map(f64::from)], 3), 1..20),
    ) {
        let drafts: Vec<Draft> = trees.iter().map(|steps| grown(steps)).collect();
        let ensemble = ensemble(3, Codes::Truncated, &drafts);
        for row in &rows {
            let sum: f64 = drafts.iter().map(|draft| walk(draft, row)).sum();
            prop_assert_eq!(ensemble.raw_row(row), 0.5 + sum / drafts.len() as f64);
        }
        let batch: Vec<f64> = rows.iter().flat_map(|row| row[1..].to_vec()).collect();
        let mut out = vec![0.0; rows.len()];
        let shared = [rows[0][0], f64::INFINITY, f64::INFINITY];
        let batch = Batch { shared: &shared, own_inputs: &[1, 2], own: &batch };
        ensemble.raw(&batch, &mut ScorerScratch::default(), &mut out);
        for (row, raw) in rows.iter().zip(out) {
            prop_assert_eq!(raw, ensemble.raw_row(&[rows[0][0], row[1], row[2]]));
        }
        for &tree in ensemble.trees() {
            prop_assert_eq!(tree.leaves * 2 - 1, tree.nodes);
        }
    }
}

#[track_caller]
fn check_way(node: DraftNode, words: &[u32], codes: Codes, value: f64, goes_left: bool) {
    let draft = Draft {
        nodes: vec![node, leaf(1.0), leaf(2.0)],
        words: words.to_vec(),
        ..Draft::default()
    };
    let found = ensemble(1, codes, &[draft]).raw_row(&[value]);
    let expected = if goes_left { 1.5 } else { 2.5 };
    assert_eq!(found, expected, "{value} at {node:?}");
}

#[test]
fn numbers_go_where_the_trainer_sends_them() {
    let split = |nan_left, zero_left| DraftNode::Number {
        input: 0,
        threshold: 1.0,
        nan_left,
        zero_left,
        left: 1,
        right: 2,
    };
    let check = |nan_left, zero_left, value, goes_left| {
        check_way(
            split(nan_left, zero_left),
            &[],
            Codes::Truncated,
            value,
            goes_left,
        );
    };
    check(false, None, 1.0, true);
    check(false, None, 1.0_f64.next_up(), false);
    check(false, None, f64::NAN, false);
    check(true, None, f64::NAN, true);
    check(true, None, f64::INFINITY, false);
    check(false, Some(false), 0.0, false);
    check(false, Some(false), -1e-36, false);
    check(false, Some(false), ZERO, false);
    check(false, Some(false), ZERO.next_up(), true);
    check(true, Some(false), f64::NAN, true);
}

#[test]
fn categories_go_where_the_trainer_sends_them() {
    let split = |nan_left, other_left| DraftNode::Category {
        input: 0,
        set: (1, 2),
        nan_left,
        other_left,
        left: 1,
        right: 2,
    };
    // Categories 1 and 32; the word before belongs to somebody else.
    let words = [u32::MAX, 0b10, 0b1];
    for (value, lightgbm, xgboost) in [
        (1.0, true, true),
        (32.0, true, true),
        (0.0, false, false),
        (33.0, false, false),
        (1.9, true, true),
        // Beyond the set: what the trainer does with the unseen.
        (64.0, false, true),
        (3e9, false, true),
        (-1.0, false, true),
        (f64::INFINITY, false, true),
        // Cut off to 0, but no category to XGBoost.
        (-0.5, false, true),
        (f64::NAN, false, false),
    ] {
        check_way(
            split(false, false),
            &words,
            Codes::Truncated,
            value,
            lightgbm,
        );
        check_way(split(false, true), &words, Codes::Single, value, xgboost);
    }
    // Rounded to 32 bits it is 2.
    let (above, below) = (1.999_999_999, 1.999_999);
    check_way(split(false, true), &words, Codes::Single, above, false);
    check_way(split(false, true), &words, Codes::Single, below, true);
    check_way(split(false, true), &words, Codes::Truncated, above, true);
}

#[track_caller]
fn check_refused(draft: &Draft, node: usize, problem: &str) {
    let error = Builder::new(2, Codes::Truncated).add(draft).unwrap_err();
    assert_eq!(error.at, format!("trees[0].node[{node}]"), "{error}");
    assert!(error.problem.contains(problem), "{error}");
}

#[test]
fn an_unsound_tree_is_refused() {
    let (nan, two) = (f64::NAN, [leaf(0.0); 2]);
    let over = |node| draft(&[&[node], two.as_slice()].concat());
    check_refused(&draft(&[]), 0, "at least one node");
    check_refused(&draft(&[leaf(nan)]), 0, "value is NaN");
    check_refused(&draft(&[leaf(f64::INFINITY)]), 0, "value is inf");
    check_refused(&draft(&[leaf(1.0), leaf(1.0)]), 1, "no node's child");
    check_refused(&over(number(2, 0.0, 1, 2)), 0, "feature is 2");
    check_refused(&over(number(70_000, 0.0, 1, 2)), 0, "feature is 70000");
    check_refused(&over(number(0, nan, 1, 2)), 0, "threshold is NaN");
    check_refused(
        &over(number(0, 0.0, 0, 1)),
        0,
        "left is 0, which is the root",
    );
    check_refused(&over(number(0, 0.0, 1, 3)), 0, "right is 3, must be 0 to 2");
    check_refused(&over(number(0, 0.0, 1, u32::MAX)), 0, "right is 4294967295");
    check_refused(&over(number(0, 0.0, 1, 1)), 0, "has a parent already");
    let shared = [
        number(0, 0.0, 1, 2),
        number(0, 0.0, 3, 4),
        number(0, 0.0, 4, 3),
    ];
    check_refused(
        &draft(&[&shared, two.as_slice()].concat()),
        2,
        "has a parent already",
    );
    let category = DraftNode::Category {
        input: 0,
        set: (1, u32::MAX),
        nan_left: false,
        other_left: false,
        left: 1,
        right: 2,
    };
    check_refused(&over(category), 0, "ends after the 0 words");
}

#[test]
fn pruned_nodes_may_be_left_behind_if_they_are_told() {
    let mut tree = draft(&[
        number(0, 0.0, 3, 1),
        leaf(1.0),
        number(0, 0.0, 0, 0),
        leaf(2.0),
    ]);
    check_refused(&tree, 2, "no node's child");
    tree.spare = 1;
    assert_eq!(ensemble(1, Codes::Truncated, &[tree]).nodes().len(), 3);
}

#[test]
fn depth_and_number_are_limited() {
    let chain = |depth: u32| {
        let steps = (0..depth).flat_map(|i| [number(0, 0.0, 2 * i + 1, 2 * i + 2), leaf(0.0)]);
        draft(&steps.chain([leaf(1.0)]).collect::<Vec<_>>())
    };
    let deepest = ensemble(1, Codes::Truncated, &[chain(255)]);
    assert_eq!(deepest.trees()[0].depth, 255);
    assert_eq!(deepest.raw_row(&[1.0]), 1.5);
    assert!(Builder::new(1, Codes::Truncated).add(&chain(256)).is_err());
    let mut builder = Builder::new(1, Codes::Truncated);
    for _ in 0..TREES_MAX {
        builder.add(&draft(&[leaf(1.0)])).unwrap();
    }
    assert_eq!(builder.add(&draft(&[leaf(1.0)])).unwrap_err().at, "trees");
    let mut words = draft(&[leaf(1.0)]);
    words.words = vec![0; WORDS_MAX + 1];
    assert!(Builder::new(1, Codes::Truncated).add(&words).is_err());
}

#[test]
fn features_are_bound_after_the_trees() {
    let mut builder = Builder::unbound(Codes::Single);
    let tree = Draft {
        gains: vec![3.0, f32::NAN, 0.0],
        ..draft(&[number(1, 0.0, 1, 2), leaf(1.0), leaf(2.0)])
    };
    builder.add(&tree).unwrap();
    builder.weigh(&[0.5]).unwrap();
    assert!(builder.clone().weigh(&[]).is_err());
    assert!(builder.clone().weigh(&[f32::INFINITY]).is_err());
    assert!(builder.clone().bind(&[0], 3).is_err());
    builder.bind(&[0, 2], 3).unwrap();
    let output = Output {
        base: 0.0,
        divisor: 1.0,
        link: Link::Identity,
    };
    let ensemble = builder.finish(output).unwrap();
    assert_eq!(ensemble.raw_row(&[9.0, 9.0, -1.0]), 0.5);
    assert_eq!(ensemble.splits(), [0, 0, 1]);
    assert_eq!(ensemble.gains(), Some([0.0, 0.0, 3.0].as_slice()));
}
