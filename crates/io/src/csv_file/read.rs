//! The records of a CSV file, one at a time.
//!
//! Lines end with LF, CR or both, empty ones are passed over, and the mark of UTF-8 at the
//! beginning is no part of the first name. A quote within a field that does not begin with one is
//! a character like others.
//!
//! **Invariant.** Every record has as many fields as the header, all of them text in UTF-8; what
//! stands in quotes was closed.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::TableError;
use crate::table::{open, unusable};

/// The largest record, since it is held in memory.
const RECORD_MAX: usize = 256 << 20;
/// What some programs begin a file in UTF-8 with.
const MARK: &[u8] = b"\xEF\xBB\xBF";

/// What the quotes of a file say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quotes {
    /// A file of others: an empty field is null, with quotes or without.
    Custom,
    /// A file that Millstream wrote: what stands in quotes is text, be it empty.
    Text,
}

/// A CSV file on its way.
pub(crate) struct CsvReader {
    path: PathBuf,
    quotes: Quotes,
    content: Box<dyn BufRead>,
    columns: Vec<String>,
    record: Record,
}

/// A field of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    /// What it holds; `None` is null.
    pub(crate) text: Option<&'a str>,
    /// Whether it stood in quotes.
    pub(crate) is_quoted: bool,
}

impl CsvReader {
    /// Opens the file at `path`, unpacked when its name ends in `.gz`, and reads its columns, which
    /// must have names that differ.
    pub(crate) fn open(path: &Path, limit: u64, quotes: Quotes) -> Result<Self, TableError> {
        let unreadable = |source| TableError::Unreadable { path: path.to_owned(), source };
        let file = BufReader::with_capacity(1 << 16, open(path, limit)?);
        let packed = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz"));
        let mut content: Box<dyn BufRead> = if packed {
            let unpacked = flate2::bufread::MultiGzDecoder::new(file);
            Box::new(BufReader::with_capacity(1 << 16, unpacked))
        } else {
            Box::new(file)
        };
        let mut start = Vec::new();
        let length = MARK.len() as u64;
        content.by_ref().take(length).read_to_end(&mut start).map_err(unreadable)?;
        if start == MARK {
            start.clear();
        }
        let content = Box::new(std::io::Cursor::new(start).chain(content));
        let record = Record { next_line: 1, ..Record::default() };
        let mut reader =
            Self { path: path.to_owned(), quotes, content, columns: Vec::new(), record };
        reader.columns = reader.header()?;
        // What Millstream writes has no quotes without need: somebody else has put the file there.
        let is_custom = |field: Field<'_>| field.is_quoted && !needs_quotes(field.text);
        if reader.record.fields().any(is_custom) {
            reader.quotes = Quotes::Custom;
        }
        Ok(reader)
    }

    fn header(&mut self) -> Result<Vec<String>, TableError> {
        let is_there = self.read()?;
        let names = self.record.fields().map(|field| field.text.unwrap_or_default().to_owned());
        let columns: Vec<String> = names.collect();
        let problem = if !is_there || columns.iter().all(String::is_empty) {
            "the header line is empty; it must name the columns".to_owned()
        } else if let Some(problem) = unusable(&columns) {
            problem
        } else {
            return Ok(columns);
        };
        Err(self.wrong(1, problem))
    }

    /// The columns' names.
    pub(crate) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// What its quotes say.
    pub(crate) fn quotes(&self) -> Quotes {
        self.quotes
    }

    /// The record that was read last.
    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    /// Reads the next record; false at the end.
    pub(crate) fn next(&mut self) -> Result<bool, TableError> {
        if !self.read()? {
            return Ok(false);
        }
        let (has, wanted) = (self.record.ends.len(), self.columns.len());
        if has != wanted {
            let problem = format!("it has {has} fields, the header has {wanted}");
            return Err(self.wrong(self.record.line, problem));
        }
        // In a file of one column a line with nothing on it would be none, so null has quotes, too.
        self.record.blank_is_text = self.quotes == Quotes::Text && wanted > 1;
        Ok(true)
    }

    /// Reads a record of any length; false at the end.
    fn read(&mut self) -> Result<bool, TableError> {
        self.record.begin();
        loop {
            let unreadable = |source| TableError::Unreadable { path: self.path.clone(), source };
            let bytes = self.content.fill_buf().map_err(unreadable)?;
            if bytes.is_empty() {
                break;
            }
            let length = bytes.len();
            let read = self.record.take(bytes);
            self.content.consume(read.as_ref().map_or(length, |it| it.unwrap_or(length)));
            match read {
                Err((line, problem)) => return Err(self.wrong(line, problem)),
                Ok(Some(_)) => return self.whole(),
                Ok(None) => {}
            }
        }
        match self.record.place {
            Place::Quoted => {
                let problem = "a quote is never closed".to_owned();
                Err(self.wrong(self.record.opened, problem))
            }
            Place::Start if self.record.ends.is_empty() => Ok(false),
            _ => {
                self.record.end_field();
                self.whole()
            }
        }
    }

    /// Has the bytes of a record that was read to its end as text.
    fn whole(&mut self) -> Result<bool, TableError> {
        let bytes = std::mem::take(&mut self.record.bytes);
        match String::from_utf8(bytes) {
            Ok(text) => {
                self.record.text = text;
                Ok(true)
            }
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let field = self.record.ends.iter().take_while(|end| end.at <= valid).count() + 1;
                let problem = format!("field {field} is not text in UTF-8");
                Err(self.wrong(self.record.line, problem))
            }
        }
    }

    fn wrong(&self, line: u64, problem: String) -> TableError {
        TableError::Line { path: self.path.clone(), line, problem }
    }
}

fn needs_quotes(name: Option<&str>) -> bool {
    name.is_some_and(super::needs_quotes)
}

/// A record: its fields behind each other, and where each ends.
#[derive(Debug, Default)]
pub(crate) struct Record {
    text: String,
    /// What becomes the text.
    bytes: Vec<u8>,
    ends: Vec<End>,
    place: Place,
    is_quoted: bool,
    blank_is_text: bool,
    /// The line on which it begins, from 1.
    line: u64,
    /// The line of the quote that was opened last.
    opened: u64,
    /// The line of what is read next.
    next_line: u64,
    /// Whether that comes after CR, which ends a line with or without LF.
    after_cr: bool,
}

#[derive(Debug, Clone, Copy)]
struct End {
    at: usize,
    is_quoted: bool,
}

/// Where in a record the reading is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    /// Before a field.
    #[default]
    Start,
    /// In a field without quotes.
    Plain,
    /// In quotes.
    Quoted,
    /// Behind a quote that closes the field, or is the first of two.
    Closed,
    /// Behind that and a blank.
    Blank,
}

impl Record {
    /// Its fields.
    pub(crate) fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|end| end.at));
        starts.zip(&self.ends).map(|(start, end)| {
            let text = self.text.get(start..end.at).unwrap_or_default();
            let is_null = text.is_empty() && !(end.is_quoted && self.blank_is_text);
            Field { text: (!is_null).then_some(text), is_quoted: end.is_quoted }
        })
    }

    /// The line on which it begins, from 1.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    fn begin(&mut self) {
        // The room of the last one is used again.
        self.bytes = std::mem::take(&mut self.text).into_bytes();
        self.bytes.clear();
        self.ends.clear();
        self.place = Place::Start;
        self.is_quoted = false;
        self.line = self.next_line;
    }

    /// Reads on in `bytes`: how many of them end the record, or `None` when it goes on behind them.
    fn take(&mut self, bytes: &[u8]) -> Result<Option<usize>, (u64, String)> {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            self.after_cr &= matches!(byte, b'\n' | b'\r');
            match (self.place, byte) {
                (Place::Start, b'"') => {
                    self.place = Place::Quoted;
                    self.is_quoted = true;
                    self.opened = self.next_line;
                    rest = after;
                }
                (Place::Closed, b'"') => {
                    self.bytes.push(byte);
                    self.place = Place::Quoted;
                    rest = after;
                }
                (Place::Quoted, _) => rest = self.take_quoted(rest)?,
                (_, b',') => {
                    self.end_field();
                    self.place = Place::Start;
                    rest = after;
                }
                (_, b'\n' | b'\r') => {
                    self.see_line(byte);
                    rest = after;
                    if self.place == Place::Start && self.ends.is_empty() {
                        self.line = self.next_line;
                        continue;
                    }
                    self.end_field();
                    return Ok(Some(bytes.len() - rest.len()));
                }
                (Place::Closed | Place::Blank, b' ' | b'\t') => {
                    self.bytes.push(byte);
                    self.place = Place::Blank;
                    rest = after;
                }
                (Place::Closed | Place::Blank, _) => {
                    let problem = format!(
                        "text follows the end of a field in quotes that begins in line {}; a quote \
                         within quotes is written twice",
                        self.opened
                    );
                    return Err((self.next_line, problem));
                }
                (Place::Start | Place::Plain, _) => {
                    let is_end = |byte: &u8| matches!(byte, b',' | b'\n' | b'\r');
                    let length = rest.iter().position(is_end).unwrap_or(rest.len());
                    let (text, after) = rest.split_at(length);
                    self.add(text)?;
                    self.place = Place::Plain;
                    rest = after;
                }
            }
        }
        Ok(None)
    }

    /// Takes what of `bytes` stands within quotes; what follows it.
    fn take_quoted<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], (u64, String)> {
        let length = bytes.iter().position(|byte| *byte == b'"').unwrap_or(bytes.len());
        let (text, after) = bytes.split_at(length);
        self.add(text)?;
        for byte in text {
            self.see_line(*byte);
        }
        let Some((_, after)) = after.split_first() else { return Ok(after) };
        self.place = Place::Closed;
        Ok(after)
    }

    fn add(&mut self, text: &[u8]) -> Result<(), (u64, String)> {
        if self.bytes.len() + text.len() > RECORD_MAX {
            let problem = format!("it is longer than {RECORD_MAX} bytes; is a quote not closed?");
            return Err((self.line, problem));
        }
        self.bytes.extend_from_slice(text);
        Ok(())
    }

    fn see_line(&mut self, byte: u8) {
        match byte {
            b'\n' if self.after_cr => {}
            b'\n' | b'\r' => self.next_line += 1,
            _ => {}
        }
        self.after_cr = byte == b'\r';
    }

    fn end_field(&mut self) {
        self.ends.push(End { at: self.bytes.len(), is_quoted: self.is_quoted });
        self.is_quoted = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(content: &[u8], quotes: Quotes) -> Result<Vec<Vec<String>>, TableError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, content).unwrap();
        let mut reader = CsvReader::open(&path, 1 << 20, quotes)?;
        let mut records = vec![reader.columns().to_vec()];
        while reader.next()? {
            let shown = |field: Field<'_>| match field.text {
                None => "null".to_owned(),
                Some(text) if field.is_quoted => format!("{text:?}"),
                Some(text) => text.to_owned(),
            };
            let mut fields = vec![reader.record().line().to_string()];
            fields.extend(reader.record().fields().map(shown));
            records.push(fields);
        }
        Ok(records)
    }

    #[test]
    fn records_are_read_with_their_lines_and_what_stood_in_quotes() {
        let content = b"\xEF\xBB\xBF\"a\",b\r\n1,\"x \"\"y\"\"\r\nz\" \r\n\r\n,\"\"\r2,q\"r";
        let wanted = [
            vec!["a", "b"],
            vec!["2", "1", "\"x \\\"y\\\"\\r\\nz \""],
            vec!["5", "null", "null"],
            vec!["6", "2", "q\"r"],
        ];
        assert_eq!(records(content, Quotes::Custom).unwrap(), wanted);
        let none = vec!["2", "null", "1"];
        assert_eq!(records(b"\"a\",b\n\"\",1\n", Quotes::Text).unwrap()[1], none);
        let blank = |content: &[u8]| records(content, Quotes::Text).unwrap()[1][1].clone();
        assert_eq!((blank(b"a,b\n\"\",\n"), blank(b"a\n\"\"\n")), ("\"\"".into(), "null".into()));
    }

    #[test]
    fn a_quote_that_is_never_closed_is_refused_with_its_line() {
        let told = |content: &str| {
            let error = records(content.as_bytes(), Quotes::Custom).unwrap_err().to_string();
            error.split_once(".csv ").unwrap().1.to_owned()
        };
        let open = "line 2: a quote is never closed";
        assert_eq!(told("id,name\n1,\"Ann\n2,Bob\n3,Cid\n"), open);
        assert_eq!(told("id,name\r\n1,\"Ann\"\"\r\n2,Bob"), open);
        assert_eq!(told("id,\"name\n1,Ann\n"), "line 1: a quote is never closed");
        let next = told("id,name\n1,\"Ann\n2,\"Bob\"\n3,Cid\n");
        assert!(next.starts_with("line 3: text follows the end of a field in quotes"), "{next}");
        assert!(next.contains("begins in line 2"), "{next}");
    }

    #[test]
    fn files_that_others_read_are_read_as_they_do() {
        const FIELDS: [&str; 10] = [
            "a",
            "1.10",
            "",
            "\"\"",
            "\"x, y\"",
            "\"say \"\"so\"\"\"",
            "\"two\nlines\"",
            "q\"r",
            "é b ",
            "\"\r\n\"",
        ];
        let mut state = 7_u32;
        let mut draw = |below: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            usize::try_from(state >> 16).unwrap() % below
        };
        for _ in 0..300 {
            let mut content = "one,two".to_owned();
            for _ in 0..draw(6) {
                content += ["\n", "\r\n", "\r", "\n\n"][draw(4)];
                content = [&*content, FIELDS[draw(10)], ",", FIELDS[draw(10)]].concat();
            }
            content += ["", "\n"][draw(2)];
            let mut theirs = csv::ReaderBuilder::new();
            let mut theirs = theirs.has_headers(false).from_reader(content.as_bytes());
            let theirs: Vec<Vec<String>> = theirs
                .records()
                .map(|record| record.unwrap().iter().map(str::to_owned).collect())
                .collect();
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.csv");
            std::fs::write(&path, &content).unwrap();
            let mut reader = CsvReader::open(&path, 1 << 20, Quotes::Custom).unwrap();
            let mut ours = vec![reader.columns().to_vec()];
            while reader.next().unwrap() {
                let texts =
                    reader.record().fields().map(|it| it.text.unwrap_or_default().to_owned());
                ours.push(texts.collect());
            }
            assert_eq!(ours, theirs, "{content:?}");
        }
    }
}
