//! Files as they come: plain or gzipped, and never larger than what fits.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

use super::Error;

/// Ten million rows of a hundred characters; a gzipped file could unfold to anything.
const BYTES_MAX: u64 = 1 << 30;

/// The text of a file; gzip is recognised by its first two bytes.
pub(super) fn text(path: &PathBuf) -> Result<String, Error> {
    let failed = |problem: String| Error::Read {
        path: path.clone(),
        problem,
    };
    let read = || -> std::io::Result<String> {
        let mut file = BufReader::new(File::open(path)?);
        let gzipped = file.fill_buf()?.starts_with(&[0x1f, 0x8b]);
        let mut text = String::new();
        let mut limited: Box<dyn Read> = if gzipped {
            Box::new(flate2::bufread::MultiGzDecoder::new(file).take(BYTES_MAX + 1))
        } else {
            Box::new(file.take(BYTES_MAX + 1))
        };
        limited.read_to_string(&mut text)?;
        Ok(text)
    };
    let text = read().map_err(|error| failed(error.to_string()))?;
    if text.len() as u64 > BYTES_MAX {
        return Err(failed(format!("more than {BYTES_MAX} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn plain_and_gzipped_files_are_read_alike() {
        let dir = tempfile::tempdir().unwrap();
        let (plain, gzipped) = (dir.path().join("a"), dir.path().join("b"));
        let words = "action,reward\n1,2\n".repeat(1_000);
        std::fs::write(&plain, &words).unwrap();
        let file = File::create(&gzipped).unwrap();
        let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        encoder.write_all(words.as_bytes()).unwrap();
        encoder.finish().unwrap();
        assert_eq!(text(&plain).unwrap(), words);
        assert_eq!(text(&gzipped).unwrap(), words);
        let cut = std::fs::read(&gzipped).unwrap();
        std::fs::write(&gzipped, &cut[..cut.len() / 2]).unwrap();
        assert!(text(&gzipped).is_err());
    }
}
