//! What the columns of a CSV file are: numbers, or text where a number would not come back as it
//! was, or could not be told from another that is written differently.
//!
//! A number is one field alone; a column of decimals also has a way in which they are written.
//! `12.50` beside `3.00` are prices, and `1.10` beside `1.1` are two versions, which as numbers
//! would be one. It is found without keeping the fields, so a file of any length can be looked at.

use std::path::Path;

use millstream_model::ColumnType;

use super::{Quotes, Record};
use crate::columns::Seen;
use crate::sql::Meaning;

/// A first reading of a file.
pub(crate) struct CsvLook {
    quotes: Quotes,
    columns: Vec<Fields>,
}

/// What a column is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CsvColumn {
    /// Its type; `None` when all its fields are null.
    pub(crate) kind: Option<ColumnType>,
    /// Why it is text, or what else an author should know, behind the column's name.
    pub(crate) note: Option<String>,
}

/// The fields of a column.
#[derive(Debug, Clone, Default)]
struct Fields {
    plain: Tally,
    quoted: Tally,
}

/// What was seen among fields.
#[derive(Debug, Clone, Default)]
struct Tally {
    seen: Seen,
    /// The first that would not come back as it was if it were a number.
    lookalike: Option<Example>,
    decimals: Decimals,
    powers: Decimals,
}

/// How numbers with a fraction are written.
#[derive(Debug, Clone, Default)]
struct Decimals {
    /// The first whose fraction ends in a zero that says nothing: `1.10`, and `5.` too.
    padded: Option<Example>,
    /// The first with the fewest digits behind the point, and the first with the most.
    fewest: Option<Example>,
    most: Option<Example>,
    /// The first without a digit before the point, and the first with a zero there.
    bare: Option<Example>,
    led: Option<Example>,
    /// The first that is a whole number: `7.0`.
    round: Option<Example>,
}

/// A field, with the line on which its record begins.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Example {
    text: String,
    line: u64,
    digits: usize,
}

impl CsvLook {
    /// Of a file with `columns` columns whose quotes say `quotes`.
    pub(crate) fn new(columns: usize, quotes: Quotes) -> Self {
        Self { quotes, columns: vec![Fields::default(); columns] }
    }

    /// Looks at `record`.
    pub(crate) fn see(&mut self, record: &Record) {
        for (field, column) in record.fields().zip(&mut self.columns) {
            let tally = if field.is_quoted { &mut column.quoted } else { &mut column.plain };
            if let Some(text) = field.text {
                tally.see(text, record.line());
            }
        }
    }

    /// What the columns of the file at `path` are.
    pub(crate) fn columns(self, path: &Path) -> Vec<CsvColumn> {
        // Where a program puts everything into quotes, they tell nothing apart.
        let tells = self.columns.iter().any(|column| !column.plain.is_empty());
        let quotes = self.quotes;
        let found = |Fields { mut plain, quoted }: Fields| {
            if quotes == Quotes::Custom && !tells {
                return quoted.column(path);
            }
            if quoted.is_empty() {
                return plain.column(path);
            }
            let was_empty = plain.is_empty();
            plain.seen.mean(Meaning::Text);
            let mut column = plain.column(path);
            if quotes == Quotes::Custom && was_empty && quoted.seen.kind().0 != TEXT {
                column.note = Some("is text, because its numbers stand in quotes".to_owned());
            }
            column
        };
        self.columns.into_iter().map(found).collect()
    }
}

const TEXT: Option<ColumnType> = Some(ColumnType::Text);

impl Tally {
    fn see(&mut self, text: &str, line: u64) {
        let meaning = Meaning::of(text);
        self.seen.mean(meaning);
        match meaning {
            Meaning::Real(_) => {
                let decimals =
                    if text.contains(['e', 'E']) { &mut self.powers } else { &mut self.decimals };
                decimals.see(text, line);
            }
            Meaning::Lookalike if self.lookalike.is_none() => {
                self.lookalike = Some(Example { text: text.to_owned(), line, digits: 0 });
            }
            _ => {}
        }
    }

    fn is_empty(&self) -> bool {
        self.seen.kind().0.is_none()
    }

    fn column(&self, path: &Path) -> CsvColumn {
        let path = path.display();
        let (kind, why) = self.seen.kind();
        let text = |why: String| Some(format!("is text, because {why}"));
        if let Some(why) = why {
            let why = match &self.lookalike {
                None => format!("in {path}, {why}"),
                Some(it) => {
                    format!("{:?} in line {} of {path} would change as a number", it.text, it.line)
                }
            };
            return CsvColumn { kind, note: text(why) };
        }
        if kind != Some(ColumnType::Real) {
            return CsvColumn { kind, note: None };
        }
        let mixed = self.decimals.mixed().or_else(|| self.powers.mixed());
        if let Some((one, other)) = mixed {
            let why = format!(
                "{:?} in line {} and {:?} in line {} of {path} are written in two ways, in which \
                 numbers are not told apart",
                one.text, one.line, other.text, other.line
            );
            return CsvColumn { kind: TEXT, note: text(why) };
        }
        let round = self.decimals.round.as_ref().filter(|_| self.seen.has_whole_beside_real());
        let note = round.map(|it| {
            format!(
                "has whole numbers with and without a point, which are the same numbers: {:?} in \
                 line {} of {path}",
                it.text, it.line
            )
        });
        CsvColumn { kind, note }
    }
}

impl Decimals {
    fn see(&mut self, text: &str, line: u64) {
        let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
        let Some((whole, fraction)) = mantissa.split_once('.') else { return };
        let digits = fraction.len();
        let keep = |place: &mut Option<Example>, is_wanted: bool| {
            if is_wanted {
                *place = Some(Example { text: text.to_owned(), line, digits });
            }
        };
        let is_less = self.fewest.as_ref().is_none_or(|it| digits < it.digits);
        keep(&mut self.fewest, is_less);
        let is_more = self.most.as_ref().is_none_or(|it| digits > it.digits);
        keep(&mut self.most, is_more);
        let is_padded = digits == 0 || (digits > 1 && fraction.ends_with('0'));
        let is_first = self.padded.is_none();
        keep(&mut self.padded, is_padded && is_first);
        let whole = whole.trim_start_matches('-');
        let is_first = self.bare.is_none();
        keep(&mut self.bare, whole.is_empty() && is_first);
        let is_first = self.led.is_none();
        keep(&mut self.led, whole == "0" && is_first);
        let is_first = self.round.is_none();
        keep(&mut self.round, is_first && fraction.bytes().all(|digit| digit == b'0'));
    }

    /// Two fields that are not written in one way, where another of each way could be one number.
    fn mixed(&self) -> Option<(&Example, &Example)> {
        let by_zero = self.bare.as_ref().zip(self.led.as_ref());
        let by_digits = || {
            let padded = self.padded.as_ref()?;
            let ends = [self.fewest.as_ref()?, self.most.as_ref()?];
            Some((padded, ends.into_iter().find(|it| it.digits != padded.digits)?))
        };
        by_digits().or(by_zero)
    }
}

#[cfg(test)]
mod tests {
    use super::super::CsvReader;
    use super::*;

    /// The types of the columns of `content` and the notes about them.
    fn look(content: &str, quotes: Quotes) -> (String, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, content).unwrap();
        let mut reader = CsvReader::open(&path, 1 << 20, quotes).unwrap();
        let mut look = CsvLook::new(reader.columns().len(), reader.quotes());
        while reader.next().unwrap() {
            look.see(reader.record());
        }
        let columns = look.columns(&path);
        let kinds = columns.iter().map(|it| it.kind.map_or("null", ColumnType::as_str));
        let notes: Vec<String> = columns.iter().filter_map(|it| it.note.clone()).collect();
        (kinds.collect::<Vec<_>>().join(" "), notes.join("\n"))
    }

    #[test]
    fn decimals_are_numbers_where_they_are_written_in_one_way() {
        for (fields, wanted, told) in [
            ("12.50 3.00 0.05", "real", ""),
            ("12.50 3 -0.75", "real", ""),
            ("1.5 7 0.125", "real", ""),
            ("7.0 7.25 1e-05 0.0001", "real", ""),
            (".5 12.25 -.75", "real", ""),
            ("5. 12.", "real", ""),
            ("1.50e+10 2.25e-03", "real", ""),
            ("7 7.0 7.5", "real", "the same numbers: \"7.0\" in line 3"),
            ("1.1 1.10", "text", "\"1.10\" in line 3 and \"1.1\" in line 2"),
            ("1.9 1.10", "text", "\"1.10\" in line 3 and \"1.9\" in line 2"),
            ("1.100 1.10", "text", "\"1.100\" in line 2 and \"1.10\" in line 3"),
            (".5 0.5", "text", "\".5\" in line 2 and \"0.5\" in line 3"),
            ("5. 5.0", "text", "\"5.\" in line 2 and \"5.0\" in line 3"),
            ("1.50e+10 1.5e+10", "text", "\"1.50e+10\" in line 2 and \"1.5e+10\" in line 3"),
        ] {
            let content = format!("x\n{}\n", fields.replace(' ', "\n"));
            let (kinds, notes) = look(&content, Quotes::Custom);
            assert_eq!(kinds, wanted, "{fields}: {notes}");
            assert!(notes.contains(told), "{fields}: {notes}");
            assert_eq!(notes.is_empty(), told.is_empty(), "{fields}: {notes}");
        }
    }

    #[test]
    fn quotes_say_text_where_they_tell_fields_apart() {
        let told = "is text, because its numbers stand in quotes";
        for (content, custom, note, own) in [
            ("id,n\n\"1.10\",1\n\"7\",2\n", "text integer", told, "text integer"),
            ("id,n\n\"a\",1\n\"7\",2\n", "text integer", "", "text integer"),
            // Whoever put such a file where Millstream keeps its own has written it.
            ("\"id\",\"n\"\n\"1\",\"1.5\"\n\"7\",\"\"\n", "integer real", "", "integer real"),
            ("id,n\n\"1\",\"1.5\"\n\"7\",\"\"\n", "integer real", "", "text text"),
            ("id,n\n\"x, y\",1\n,\n", "text integer", "", "text integer"),
        ] {
            let (kinds, notes) = look(content, Quotes::Custom);
            assert_eq!((kinds.as_str(), notes.as_str()), (custom, note), "{content}");
            assert_eq!(look(content, Quotes::Text), (own.to_owned(), String::new()), "{content}");
        }
        let (kinds, notes) = look("n,m\n1,1\n\"2\",1\n", Quotes::Custom);
        assert_eq!(kinds, "text integer");
        assert!(notes.contains("several kinds"), "{notes}");
    }
}
