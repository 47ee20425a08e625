//! From the packed form to JSON, value by value: nothing in between is built.

use super::json;
use super::unpack::{Head, Malformed, Reader, Shapes, malformed};

/// Text for each packed byte, about: numbers of 17 digits take 9 bytes packed, and names nothing.
const GROWTH: usize = 3;

/// Puts the record as JSON behind what is in `out`; on error `out` is as it was.
pub(super) fn write(packed: &[u8], out: &mut String) -> Result<(), Malformed> {
    let (body, shapes) = Shapes::of(packed)?;
    let mut reader = Reader::new(body, &shapes);
    let start = out.len();
    out.reserve(packed.len() * GROWTH);
    let written = value(&mut reader, out).and_then(|()| reader.end());
    written.inspect_err(|_| out.truncate(start))
}

fn value(reader: &mut Reader<'_, '_>, out: &mut String) -> Result<(), Malformed> {
    match reader.head()? {
        Head::Null => out.push_str("null"),
        Head::Flag(v) => out.push_str(if v { "true" } else { "false" }),
        Head::Natural(v) => json::integer(out, v),
        Head::Negative(v) => json::integer(out, v),
        Head::Double(v) => json::double(out, v),
        Head::Text(v) => json::text(out, v),
        Head::Array(len) => {
            let mut open = '[';
            reader.deeper(|reader| {
                (0..len).try_for_each(|_| {
                    out.push(std::mem::replace(&mut open, ','));
                    value(reader, out)
                })
            })?;
            out.push_str(if len == 0 { "[]" } else { "]" });
        }
        Head::Object(names) => {
            let mut open = '{';
            reader.deeper(|reader| {
                names.iter().try_for_each(|name| {
                    out.push(std::mem::replace(&mut open, ','));
                    json::name(out, name);
                    value(reader, out)
                })
            })?;
            out.push_str(if names.is_empty() { "{}" } else { "}" });
        }
        Head::Map(len) => {
            let mut open = '{';
            reader.deeper(|reader| {
                (0..len).try_for_each(|_| {
                    out.push(std::mem::replace(&mut open, ','));
                    let Head::Text(name) = reader.head()? else {
                        return malformed("a map's name is not text");
                    };
                    json::text(out, name);
                    out.push(':');
                    value(reader, out)
                })
            })?;
            out.push_str(if len == 0 { "{}" } else { "}" });
        }
    }
    Ok(())
}
