//! A line of the audit that is read again: one object, whose values are strings, integers, true,
//! false or null. Lines that other software has written between are not understood.

use std::collections::BTreeMap;
use std::time::Duration;

use command::utc;

/// A line of the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When it was written, since 1970.
    pub time: Duration,
    /// The event.
    pub event: String,
    members: BTreeMap<String, Value>,
}

/// A value of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Text(String),
    Number(i64),
    Other,
}

impl Record {
    /// Reads a line, without its newline; none if it is not understood.
    pub fn parse(line: &[u8]) -> Option<Record> {
        let mut reader = Reader(std::str::from_utf8(line).ok()?.trim_end());
        let mut members = BTreeMap::new();
        reader.expect('{')?;
        loop {
            let name = reader.string()?;
            reader.expect(':')?;
            let value = reader.value()?;
            // A member that is there twice could be read in two ways.
            if members.insert(name, value).is_some() {
                return None;
            }
            match reader.next()? {
                ',' => {}
                '}' if reader.0.is_empty() => break,
                _ => return None,
            }
        }
        let mut text = |name: &str| match members.remove(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        };
        let (time, event) = (utc::parse(&text("time")?)?, text("event")?);
        Some(Record { time, event, members })
    }

    /// The text of a member.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.members.get(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number of a member.
    pub fn number(&self, name: &str) -> Option<i64> {
        match self.members.get(name)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The time of a member.
    pub fn time(&self, name: &str) -> Option<Duration> {
        utc::parse(self.text(name)?)
    }

    /// The names of all members beside the time and the event, in the order of the alphabet.
    pub fn names(&self) -> impl Iterator<Item = String> + '_ {
        self.members.keys().cloned()
    }
}

/// What is left of a line.
struct Reader<'a>(&'a str);

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let mut chars = self.0.chars();
        let next = chars.next()?;
        self.0 = chars.as_str();
        Some(next)
    }

    fn expect(&mut self, expected: char) -> Option<()> {
        (self.next()? == expected).then_some(())
    }

    fn value(&mut self) -> Option<Value> {
        if self.0.starts_with('"') {
            return self.string().map(Value::Text);
        }
        let end = self.0.find([',', '}'])?;
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        match word {
            "true" | "false" | "null" => Some(Value::Other),
            digits => digits.parse().ok().map(Value::Number),
        }
    }

    fn string(&mut self) -> Option<String> {
        self.expect('"')?;
        let mut units: Vec<u16> = Vec::new();
        loop {
            match self.next()? {
                '"' => return String::from_utf16(&units).ok(),
                '\\' => units.push(self.escape()?),
                c if u32::from(c) < 0x20 => return None,
                c => units.extend_from_slice(c.encode_utf16(&mut [0; 2])),
            }
        }
    }

    fn escape(&mut self) -> Option<u16> {
        let escaped = match self.next()? {
            c @ ('"' | '\\' | '/') => c,
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'u' => {
                let digits = self.0.get(..4)?;
                self.0 = &self.0[4..];
                let is_hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
                return is_hexadecimal.then(|| u16::from_str_radix(digits, 16).ok()).flatten();
            }
            _ => return None,
        };
        u16::try_from(u32::from(escaped)).ok()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::Record;

    #[test]
    fn a_line_is_read() {
        let facts = r#""a":"\u00e9\ud83d\ude00\"\\","n":-7,"c":true,"d":null"#;
        let line = format!(r#"{{"time":"2026-11-24T03:10:00.123Z","event":"x",{facts}}}"#);
        let record = Record::parse(line.as_bytes()).unwrap();
        assert_eq!((record.text("a"), record.number("n")), (Some("é😀\"\\"), Some(-7)));
        assert_eq!((record.text("n"), record.number("a"), record.text("z")), (None, None, None));
        assert_eq!(record.names().collect::<Vec<_>>(), ["a", "c", "d", "n"]);
    }

    #[test]
    fn a_line_that_is_not_of_the_audit_is_not_understood() {
        let good = r#"{"time":"2026-11-24T03:10:00.123Z","event":"x","a":1}"#;
        assert!(Record::parse(good.as_bytes()).is_some());
        // A line that was written in part.
        for end in 0..good.len() {
            assert_eq!(Record::parse(&good.as_bytes()[..end]), None, "{end}");
        }
        for bad in [
            r#"{"time":"x","event":"x"}"#,
            r#"{"event":"x"}"#,
            r#"{"time":"2026-11-24T03:10:00.123Z"}"#,
            r#"{"time":"2026-11-24T03:10:00.123Z","event":"x","a":1,"a":2}"#,
            r#"{"time":"2026-11-24T03:10:00.123Z","event":"x","a":{}}"#,
            r#"{"time":"2026-11-24T03:10:00.123Z","event":"x"} x"#,
            r#"{"time":"2026-11-24T03:10:00.123Z","event":"\ud83d"}"#,
            "{}",
        ] {
            assert_eq!(Record::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic() {
        const PIECES: [&str; 12] =
            ["{", "}", "\"", "\\", "\\u", "\\ud83d", ":", ",", "1", "é", "\"time\"", "null"];
        for _ in 0..20_000 {
            let pieces = (0..fastrand::usize(..30)).filter_map(|_| fastrand::choice(PIECES));
            let mut line = pieces.collect::<String>().into_bytes();
            if fastrand::u8(..4) == 0 {
                line.push(fastrand::u8(..));
            }
            let _ = Record::parse(&line);
        }
    }
}
