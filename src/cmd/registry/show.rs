//! What the server says about versions, for people.

use std::fmt::Write;

use serde_json::Value;

/// One line for what became of a version, and one for the trial.
pub fn staged(answer: &Value) -> String {
    let model = &answer["model"];
    let mut text = format!("{} is {}", label(model), stage(model));
    let _ = write!(text, " (epoch {})", answer["epoch"]);
    text.push('\n');
    let trial = &answer["trial"];
    if let (Some(requests), Some(new), Some(live)) = (
        trial["requests"].as_u64(),
        trial["new_us"].as_f64(),
        trial["live_us"].as_f64(),
    ) {
        let _ = writeln!(
            text,
            "tried on {requests} recent requests: {new:.1} us a decision, with the live model {live:.1} us"
        );
    }
    text
}

/// A line for every version.
pub fn table(answer: &Value) -> String {
    let models = answer["models"].as_array().map_or(&[][..], Vec::as_slice);
    let head = [
        "VERSION",
        "STAGE",
        "FORMAT",
        "PUSHED",
        "BY",
        "DECISIONS",
        "FAILED",
        "P99 us",
        "CONVERSIONS",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(models.iter().map(row));
    let widths: Vec<usize> = (0..head.len())
        .map(|column| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for (row, model) in rows.iter().zip([&Value::Null].into_iter().chain(models)) {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
        if let Some(problem) = model["problem"].as_str() {
            let _ = writeln!(text, "  ! {problem}");
        }
    }
    text
}

fn row(model: &Value) -> [String; 9] {
    let word = |key: &str| model[key].as_str().filter(|w| !w.is_empty()).unwrap_or("-");
    let health = &model["health"];
    let number = |key: &str| match &health[key] {
        Value::Null => "-".to_owned(),
        number => number.to_string(),
    };
    let conversions = match health["predicted"].as_f64() {
        Some(predicted) => format!("{} of {predicted:.1} expected", number("conversions")),
        None => "-".into(),
    };
    // To the second: a day has no two pushes that close.
    let pushed = word("pushed_at").split('.').next().unwrap_or("-");
    [
        label(model),
        stage(model),
        word("format").into(),
        pushed.into(),
        word("pushed_by").into(),
        number("decisions"),
        number("failures"),
        number("decide_p99_us"),
        conversions,
    ]
}

fn label(model: &Value) -> String {
    let word = |key: &str| model[key].as_str().unwrap_or("?").to_owned();
    format!("{}@{}", word("name"), word("version"))
}

fn stage(model: &Value) -> String {
    let stage = model["stage"].as_str().unwrap_or("?");
    match model["percent"].as_f64() {
        Some(percent) => format!("{stage} {percent} %"),
        None => stage.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_list_is_a_table() {
        let models = json!({ "models": [
            { "name": "m", "version": "2", "stage": "canary", "percent": 10.0, "format": "linear",
              "pushed_by": "ann", "pushed_at": "2026-11-20T08:00:00.123Z",
              "health": { "decisions": 7, "failures": 1, "predicted": 0.25, "conversions": 0, "decide_p99_us": 40 } },
            { "name": "m", "version": "1", "stage": "stored", "format": "linear", "pushed_by": "",
              "pushed_at": "", "problem": "too slow" },
        ] });
        let expected = "\
VERSION  STAGE        FORMAT  PUSHED               BY   DECISIONS  FAILED  P99 us  CONVERSIONS
m@2      canary 10 %  linear  2026-11-20T08:00:00  ann  7          1       40      0 of 0.2 expected
m@1      stored       linear  -                    -    -          -       -       -
  ! too slow
";
        assert_eq!(table(&models), expected);
    }

    #[test]
    fn a_change_is_a_line() {
        let answer = json!({ "epoch": 7, "model": { "name": "m", "version": "1", "stage": "live" },
            "trial": { "requests": 1000, "new_us": 12.34, "live_us": 10.0 } });
        let expected = "m@1 is live (epoch 7)\n\
            tried on 1000 recent requests: 12.3 us a decision, with the live model 10.0 us\n";
        assert_eq!(staged(&answer), expected);
    }
}
