//! Comma-separated values as spreadsheets and pandas write them (RFC 4180): quotes around a cell that
//! has commas, quotes or line ends in it, a quote within quotes doubled.

/// What is wrong, and in which record (the header is 1).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {record}: {problem}")]
pub struct CsvError {
    /// Which record, from 1.
    pub record: usize,
    /// What was found.
    pub problem: &'static str,
}

/// Reads records one by one.
pub struct Records<'a> {
    rest: &'a str,
    record: usize,
}

impl<'a> Records<'a> {
    /// The records of a text.
    #[must_use]
    pub fn of(text: &'a str) -> Records<'a> {
        // Excel begins its files with a byte order mark.
        let rest = text.strip_prefix('\u{feff}').unwrap_or(text);
        Records { rest, record: 0 }
    }

    /// The number of the record that was read last, the header being 1.
    #[must_use]
    pub fn number(&self) -> usize {
        self.record
    }

    /// Reads the next record into `cells`; false after the last. Empty lines are no records.
    ///
    /// # Errors
    /// If a quote is not closed, or something follows one that is.
    pub fn next_into(&mut self, cells: &mut Vec<String>) -> Result<bool, CsvError> {
        self.rest = self.rest.trim_start_matches(['\r', '\n']);
        cells.clear();
        if self.rest.is_empty() {
            return Ok(false);
        }
        self.record += 1;
        while self.cell(cells)? {}
        Ok(true)
    }

    /// Reads a cell; true where another one follows in this record.
    fn cell(&mut self, cells: &mut Vec<String>) -> Result<bool, CsvError> {
        let mut cell = String::new();
        if let Some(quoted) = self.rest.strip_prefix('"') {
            self.rest = quoted;
            self.quoted(&mut cell)?;
        } else {
            let end = self.rest.find([',', '\n', '\r']).unwrap_or(self.rest.len());
            let (text, rest) = self.rest.split_at(end);
            cell.push_str(text);
            self.rest = rest;
        }
        cells.push(cell);
        if let Some(rest) = self.rest.strip_prefix(',') {
            self.rest = rest;
            return Ok(true);
        }
        if self.rest.is_empty() || self.rest.starts_with(['\r', '\n']) {
            return Ok(false);
        }
        Err(self.error("something follows a closing quote"))
    }

    fn quoted(&mut self, cell: &mut String) -> Result<(), CsvError> {
        loop {
            let end = (self.rest.find('"')).ok_or_else(|| self.error("a quote is not closed"))?;
            cell.push_str(&self.rest[..end]);
            self.rest = &self.rest[end + 1..];
            match self.rest.strip_prefix('"') {
                Some(rest) => {
                    cell.push('"');
                    self.rest = rest;
                }
                None => return Ok(()),
            }
        }
    }

    fn error(&self, problem: &'static str) -> CsvError {
        CsvError {
            record: self.record,
            problem,
        }
    }
}

/// A cell as it stands in a file.
#[must_use]
pub fn quoted(cell: &str) -> String {
    if cell.contains(['"', ',', '\n', '\r']) {
        return format!("\"{}\"", cell.replace('"', "\"\""));
    }
    cell.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&[&str]]) {
        let mut records = Records::of(text);
        let mut cells = Vec::new();
        for expected in expected {
            assert!(records.next_into(&mut cells).unwrap(), "{text:?}");
            assert_eq!(cells, *expected, "{text:?}");
        }
        assert!(!records.next_into(&mut cells).unwrap(), "{text:?}");
    }

    #[test]
    fn cells_are_split_where_they_should_be() {
        check("", &[]);
        check("\u{feff}a,b\n1,2", &[&["a", "b"], &["1", "2"]]);
        check("a,b\r\n,\r\n\r\n", &[&["a", "b"], &["", ""]]);
        check("\"a,\"\"b\"\"\nc\",d\n", &[&["a,\"b\"\nc", "d"]]);
    }

    #[test]
    fn a_quoted_cell_is_read_back() {
        for cell in ["", "a", "a,b", "say \"x\"", "two\nlines"] {
            let line = quoted(cell) + ",end\n";
            check(&line, &[&[cell, "end"]]);
        }
    }

    #[test]
    fn broken_quotes_are_told() {
        let mut cells = Vec::new();
        for (text, problem) in [("\"a", "not closed"), ("\"a\"b", "follows")] {
            let error = Records::of(text).next_into(&mut cells).unwrap_err();
            assert!(error.to_string().contains(problem), "{error}");
        }
    }
}
