//! The framing of HTTP/1 requests, without any I/O.

use memchr::{memchr, memchr3};

/// How much of a line is remembered, and looked at: several times the longest Content-Length,
/// Transfer-Encoding or chunk size that somebody means. A line of these kinds that goes on is
/// refused.
const KEPT: usize = 64;

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// RFC 9112 section 2.2: a recipient *may* take a lone LF for a line end.
    #[error("a line feed without a carriage return before it")]
    BareLineFeed,
    /// RFC 9112 section 2.2: a lone CR is invalid.
    #[error("a carriage return without a line feed after it")]
    BareCarriageReturn,
    /// RFC 9110 section 5.5: NUL is invalid.
    #[error("a NUL in a line")]
    Nul,
    /// RFC 9112 section 2.2: a server *should* ignore it. What is between two requests is where a
    /// smuggled one shows.
    #[error("an empty line in place of a request line")]
    EmptyLine,
    /// RFC 9112 section 5.2: obs-fold.
    #[error("a field line that continues the one before")]
    FoldedField,
    /// RFC 9112 section 5.1.
    #[error("white space between a field name and its colon")]
    SpaceBeforeColon,
    /// RFC 9112 section 6.3: not one decimal number that fits 64 bits.
    #[error("a Content-Length that is not a number")]
    ContentLength,
    /// RFC 9112 section 6.3: a recipient *may* accept equal values.
    #[error("more than one Content-Length")]
    RepeatedContentLength,
    /// RFC 9112 section 6.1: any coding but `chunked`, or a second field.
    #[error("a Transfer-Encoding other than one chunked")]
    TransferEncoding,
    /// RFC 9112 section 6.1: a server *may* take the Transfer-Encoding.
    #[error("both Content-Length and Transfer-Encoding")]
    BothLengths,
    /// RFC 9112 section 7.1: not one hexadecimal number that fits 64 bits, followed by `;` or the
    /// end of the line.
    #[error("a chunk size that is not a hexadecimal number")]
    ChunkSize,
    /// RFC 9112 section 7.1.
    #[error("a chunk without a line end after its data")]
    ChunkEnd,
}

/// A violation, and the index of the byte that made it certain. The bytes before that one are in
/// order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) at: usize,
    pub(super) violation: Violation,
}

/// Where in the sequence of requests the stream is.
#[derive(Debug)]
pub(super) struct Framing {
    next: Part,
    /// The line that the last bytes were a part of.
    line: Line,
    /// As the fields so far have it.
    body: Option<Length>,
    /// How many heads are complete.
    heads: u64,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug)]
enum Part {
    Line(Kind),
    Data { left: u64, then: Kind },
}

/// The kinds of line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Request,
    Field,
    ChunkSize,
    ChunkEnd,
    Trailer,
}

#[derive(Clone, Copy, Debug)]
enum Length {
    Known(u64),
    Chunked,
}

impl Default for Framing {
    fn default() -> Self {
        let next = Part::Line(Kind::Request);
        Self { next, line: Line::default(), body: None, heads: 0 }
    }
}

impl Framing {
    /// Follows the framing through the next `bytes` of the stream, however they are cut. Not to be
    /// called again after a refusal.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            at += match self.next {
                Part::Line(kind) => self.take_line(kind, rest).map_err(|it| it.after(at))?,
                Part::Data { left, then } => self.take_data(left, then, rest),
            };
        }
        Ok(())
    }

    /// Which head has begun and is not complete, counted from 0.
    pub(super) fn unfinished_head(&self) -> Option<u64> {
        let in_head = match self.next {
            Part::Line(Kind::Request) => self.line.has_begun(),
            Part::Line(kind) => kind == Kind::Field,
            Part::Data { .. } => false,
        };
        in_head.then_some(self.heads)
    }

    pub(super) fn between_requests(&self) -> bool {
        matches!(self.next, Part::Line(Kind::Request)) && !self.line.has_begun()
    }

    /// Takes as much of the data as there is off the front of `bytes`; returns how many bytes that
    /// was.
    fn take_data(&mut self, left: u64, then: Kind, bytes: &[u8]) -> usize {
        let taken = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let left = left - taken as u64;
        self.next = if left == 0 { Part::Line(then) } else { Part::Data { left, then } };
        taken
    }

    /// Takes the line, or as much as there is of it, off the front of `bytes`; returns how many
    /// bytes that was.
    fn take_line(&mut self, kind: Kind, bytes: &[u8]) -> Result<usize, Refusal> {
        if self.line.ends_in_cr {
            return self.take_line_feed(kind, bytes, 0);
        }
        let end = memchr3(b'\r', b'\n', 0, bytes).unwrap_or(bytes.len());
        let text = &bytes[..end];
        match bytes.get(end) {
            Some(b'\n') => return Err(Violation::BareLineFeed.at(end)),
            Some(0) => return Err(Violation::Nul.at(end)),
            // The common case, where the line need not be copied.
            Some(_) if !self.line.has_begun() && bytes.get(end + 1) == Some(&b'\n') => {
                let start = &text[..end.min(KEPT)];
                self.finish_line(kind, start, end <= KEPT).map_err(|it| it.at(end + 1))?;
                return Ok(end + 2);
            }
            cr => self.line.keep(text, cr.is_some()),
        }
        if end + 1 < bytes.len() {
            return self.take_line_feed(kind, bytes, end + 1);
        }
        Ok(bytes.len())
    }

    /// Takes what must be the end of the line that was kept; returns the index after it.
    fn take_line_feed(&mut self, kind: Kind, bytes: &[u8], at: usize) -> Result<usize, Refusal> {
        if bytes[at] != b'\n' {
            return Err(Violation::BareCarriageReturn.at(at));
        }
        let line = std::mem::take(&mut self.line);
        self.finish_line(kind, line.start(), line.is_whole()).map_err(|it| it.at(at))?;
        Ok(at + 1)
    }

    /// Acts on a line, of which `start` is all unless it is not `whole`.
    fn finish_line(&mut self, kind: Kind, start: &[u8], whole: bool) -> Result<(), Violation> {
        let empty = start.is_empty();
        self.next = match kind {
            Kind::Request if empty => return Err(Violation::EmptyLine),
            Kind::Request => Part::Line(Kind::Field),
            Kind::Field if empty => self.finish_head(),
            Kind::Field => {
                self.take_field(start, whole)?;
                Part::Line(Kind::Field)
            }
            Kind::ChunkSize => match chunk_size(start, whole)? {
                0 => Part::Line(Kind::Trailer),
                left => Part::Data { left, then: Kind::ChunkEnd },
            },
            Kind::ChunkEnd if empty => Part::Line(Kind::ChunkSize),
            Kind::ChunkEnd => return Err(Violation::ChunkEnd),
            Kind::Trailer if empty => Part::Line(Kind::Request),
            Kind::Trailer => {
                split_field(start)?;
                Part::Line(Kind::Trailer)
            }
        };
        Ok(())
    }

    fn finish_head(&mut self) -> Part {
        self.heads += 1;
        match self.body.take() {
            None | Some(Length::Known(0)) => Part::Line(Kind::Request),
            Some(Length::Known(left)) => Part::Data { left, then: Kind::Request },
            Some(Length::Chunked) => Part::Line(Kind::ChunkSize),
        }
    }

    fn take_field(&mut self, start: &[u8], whole: bool) -> Result<(), Violation> {
        let (name, value) = split_field(start)?;
        let value = whole.then_some(value);
        if name.eq_ignore_ascii_case(b"content-length") {
            self.take_content_length(value)
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.take_transfer_encoding(value)
        } else {
            Ok(())
        }
    }

    fn take_content_length(&mut self, value: Option<&[u8]>) -> Result<(), Violation> {
        match self.body {
            Some(Length::Known(_)) => return Err(Violation::RepeatedContentLength),
            Some(Length::Chunked) => return Err(Violation::BothLengths),
            None => {}
        }
        let length = value.and_then(|digits| number(digits, 10));
        self.body = Some(Length::Known(length.ok_or(Violation::ContentLength)?));
        Ok(())
    }

    fn take_transfer_encoding(&mut self, value: Option<&[u8]>) -> Result<(), Violation> {
        match (self.body, value) {
            (Some(Length::Known(_)), _) => Err(Violation::BothLengths),
            (None, Some(coding)) if coding.eq_ignore_ascii_case(b"chunked") => {
                self.body = Some(Length::Chunked);
                Ok(())
            }
            _ => Err(Violation::TransferEncoding),
        }
    }
}

/// The beginning of a line that is spread over several reads.
#[derive(Debug)]
struct Line {
    kept: [u8; KEPT],
    len: usize,
    ends_in_cr: bool,
}

impl Default for Line {
    fn default() -> Self {
        Self { kept: [0; KEPT], len: 0, ends_in_cr: false }
    }
}

impl Line {
    fn has_begun(&self) -> bool {
        self.len > 0 || self.ends_in_cr
    }

    fn keep(&mut self, bytes: &[u8], ends_in_cr: bool) {
        let room = &mut self.kept[self.len.min(KEPT)..];
        let kept = room.len().min(bytes.len());
        room[..kept].copy_from_slice(&bytes[..kept]);
        self.len = self.len.saturating_add(bytes.len());
        self.ends_in_cr = ends_in_cr;
    }

    fn start(&self) -> &[u8] {
        &self.kept[..self.len.min(KEPT)]
    }

    fn is_whole(&self) -> bool {
        self.len <= KEPT
    }
}

impl Violation {
    fn at(self, at: usize) -> Refusal {
        Refusal { at, violation: self }
    }
}

impl Refusal {
    fn after(self, before: usize) -> Self {
        Self { at: before + self.at, ..self }
    }
}

/// A field's name and its trimmed value. A line without a colon is all name; hyper refuses it.
fn split_field(line: &[u8]) -> Result<(&[u8], &[u8]), Violation> {
    let colon = memchr(b':', line).unwrap_or(line.len());
    let (name, value) = line.split_at(colon);
    match name {
        [b' ' | b'\t', ..] => Err(Violation::FoldedField),
        [.., b' ' | b'\t'] => Err(Violation::SpaceBeforeColon),
        _ => Ok((name, trim(value.strip_prefix(b":").unwrap_or(value)))),
    }
}

fn chunk_size(line: &[u8], whole: bool) -> Result<u64, Violation> {
    let size = match memchr(b';', line) {
        Some(semicolon) => Some(&line[..semicolon]),
        None => whole.then_some(line),
    };
    size.and_then(|size| number(size, 16)).ok_or(Violation::ChunkSize)
}

fn number(digits: &[u8], radix: u32) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, &digit| {
        let digit = char::from(digit).to_digit(radix)?;
        number.checked_mul(radix.into())?.checked_add(digit.into())
    })
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}
