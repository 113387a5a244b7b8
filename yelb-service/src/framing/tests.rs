//! The framing alone: what is refused, where, and that it does not matter how the bytes arrive.

use proptest::{collection::vec, prelude::*, sample::Index};

use super::message::{Framing, Refusal, Violation};

/// Heads that break a rule. Each is certain before the head's last line end.
pub(super) const BAD_HEADS: &[(&str, Violation)] = &[
    (
        "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        Violation::BothLengths,
    ),
    (
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        Violation::BothLengths,
    ),
    (
        "POST / HTTP/1.1\r\ntransfer-encoding:chunked\r\nA: b\r\ncontent-length:0\r\n\r\n",
        Violation::BothLengths,
    ),
    (
        "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        Violation::RepeatedContentLength,
    ),
    (
        "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        Violation::RepeatedContentLength,
    ),
    ("POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\nhello", Violation::ContentLength),
    ("POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\nhello", Violation::ContentLength),
    ("POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", Violation::ContentLength),
    ("POST / HTTP/1.1\r\nContent-Length: 0x5\r\n\r\nhello", Violation::ContentLength),
    ("POST / HTTP/1.1\r\nContent-Length: 1 0\r\n\r\n", Violation::ContentLength),
    ("POST / HTTP/1.1\r\nContent-Length:\r\n\r\n", Violation::ContentLength),
    ("POST / HTTP/1.1\r\nContent-Length: 18446744073709551616\r\n\r\n", Violation::ContentLength),
    (
        "POST / HTTP/1.1\r\nContent-Length: 0000000000000000000000000000000000000000000000000000000000000005\r\n\r\n",
        Violation::ContentLength,
    ),
    (
        "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        Violation::TransferEncoding,
    ),
    ("POST / HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n", Violation::TransferEncoding),
    ("POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n", Violation::TransferEncoding),
    ("POST / HTTP/1.1\r\nTransfer-Encoding: \"chunked\"\r\n\r\n", Violation::TransferEncoding),
    ("POST / HTTP/1.1\r\nTransfer-Encoding: \x0bchunked\r\n\r\n", Violation::TransferEncoding),
    (
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Violation::TransferEncoding,
    ),
    (
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
        Violation::TransferEncoding,
    ),
    (
        "POST / HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        Violation::SpaceBeforeColon,
    ),
    ("POST / HTTP/1.1\r\nContent-Length\t: 5\r\n\r\nhello", Violation::SpaceBeforeColon),
    ("POST / HTTP/1.1\r\nA: b\r\n Content-Length: 5\r\n\r\nhello", Violation::FoldedField),
    ("POST / HTTP/1.1\r\nTransfer-Encoding:\r\n\tchunked\r\n\r\n", Violation::TransferEncoding),
    ("POST / HTTP/1.1\r\n Host: a\r\n\r\n", Violation::FoldedField),
    ("GET / HTTP/1.1\nHost: a\r\n\r\n", Violation::BareLineFeed),
    ("GET / HTTP/1.1\r\nHost: a\nA: b\r\n\r\n", Violation::BareLineFeed),
    ("GET / HTTP/1.1\r\nHost: a\r\n\n", Violation::BareLineFeed),
    ("GET / HTTP/1.1\n\n", Violation::BareLineFeed),
    ("GET / HTTP/1.1\r\nA: b\nContent-Length: 5\r\n\r\nhello", Violation::BareLineFeed),
    ("\nGET / HTTP/1.1\r\n\r\n", Violation::BareLineFeed),
    ("\r\nGET / HTTP/1.1\r\n\r\n", Violation::EmptyLine),
    ("\rGET / HTTP/1.1\r\n\r\n", Violation::BareCarriageReturn),
    ("GET / HTTP/1.1\r\r\n\r\n", Violation::BareCarriageReturn),
    ("GET /\r HTTP/1.1\r\n\r\n", Violation::BareCarriageReturn),
    ("GET / HTTP/1.1\r\nA: b\rContent-Length: 5\r\n\r\n", Violation::BareCarriageReturn),
    ("GET / HTTP/1.1\r\nA: b\r\n\rX\r\n\r\n", Violation::BareCarriageReturn),
    ("G\0ET / HTTP/1.1\r\n\r\n", Violation::Nul),
    ("GET /\0 HTTP/1.1\r\n\r\n", Violation::Nul),
    ("GET / HTTP/1.1\0\r\n\r\n", Violation::Nul),
    ("GET / HTTP/1.1\r\nA\0: b\r\n\r\n", Violation::Nul),
    ("GET / HTTP/1.1\r\nA: \0\r\n\r\n", Violation::Nul),
];

pub(super) const CHUNKED: &str = "POST /chunked HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";

/// What breaks a rule after [`CHUNKED`].
pub(super) const BAD_CHUNKS: &[(&str, Violation)] = &[
    ("\r\nhello\r\n0\r\n\r\n", Violation::ChunkSize),
    (";ext\r\nhello\r\n0\r\n\r\n", Violation::ChunkSize),
    ("five\r\nhello\r\n0\r\n\r\n", Violation::ChunkSize),
    ("0x5\r\nhello\r\n0\r\n\r\n", Violation::ChunkSize),
    ("-5\r\nhello\r\n0\r\n\r\n", Violation::ChunkSize),
    ("5 \r\nhello\r\n0\r\n\r\n", Violation::ChunkSize),
    (" 5\r\nhello\r\n0\r\n\r\n", Violation::ChunkSize),
    ("10000000000000000\r\nhello\r\n0\r\n\r\n", Violation::ChunkSize),
    ("5\nhello\r\n0\r\n\r\n", Violation::BareLineFeed),
    ("5;ext\nhello\r\n0\r\n\r\n", Violation::BareLineFeed),
    ("5\rXhello\r\n0\r\n\r\n", Violation::BareCarriageReturn),
    ("5;\0\r\nhello\r\n0\r\n\r\n", Violation::Nul),
    ("0;\0\r\n\r\n", Violation::Nul),
    ("5\r\nhello\n0\r\n\r\n", Violation::BareLineFeed),
    ("5\r\nhello\rX0\r\n\r\n", Violation::BareCarriageReturn),
    ("5\r\nhello, world\r\n0\r\n\r\n", Violation::ChunkEnd),
    ("5\r\nhello0\r\n\r\n", Violation::ChunkEnd),
    ("0\n\r\n", Violation::BareLineFeed),
    ("0\r\n\n", Violation::BareLineFeed),
    ("0\r\nA: b\n\r\n", Violation::BareLineFeed),
    ("0\r\nA: b\r\n\n", Violation::BareLineFeed),
    ("0\r\nA: b\rC: d\r\n\r\n", Violation::BareCarriageReturn),
    ("0\r\nA : b\r\n\r\n", Violation::SpaceBeforeColon),
    ("0\r\nA: b\r\n c\r\n\r\n", Violation::FoldedField),
];

/// Requests that look suspicious and are not.
pub(super) const GOOD: &[&str] = &[
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nA:\r\nB: \t \r\nC: :\r\n\r\n",
    "GET / HTTP/1.1\r\nX-Content-Length: five\r\nTransfer-Encodings: gzip\r\n\r\n",
    "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    "POST / HTTP/1.1\r\ncontent-LENGTH:\t 005 \t\r\n\r\nhello",
    "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n\n\r\n\0\n",
    "POST / HTTP/1.1\r\nTRANSFER-encoding:\tChunked \r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0b;a=\"b c\";d\r\n\r\n\n\r0123456\r\n00\r\nA: b\r\n\r\n",
    "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nCookie: 0123456789012345678901234567890123456789012345678901234567890123456789\r\n\r\n",
    "GET /?0123456789012345678901234567890123456789012345678901234567890123456789012345 HTTP/1.1\r\n\r\n",
];

/// The verdict on a stream that arrives in these pieces; a refusal's place counts from the
/// beginning.
fn verdict<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Framing, Refusal> {
    let mut framing = Framing::default();
    let mut before = 0;
    for piece in pieces {
        framing.advance(piece).map_err(|it| Refusal { at: before + it.at, ..it })?;
        before += piece.len();
    }
    Ok(framing)
}

#[track_caller]
fn refused(bytes: &[u8], violation: Violation) {
    let Err(refusal) = verdict([bytes]) else { panic!("{}", bytes.escape_ascii()) };
    assert_eq!(refusal.violation, violation, "{}", bytes.escape_ascii());
    let just_before = verdict([&bytes[..refusal.at]]);
    assert!(just_before.is_ok(), "{} is in order", bytes[..refusal.at].escape_ascii());

    assert_eq!(verdict(bytes.chunks(1)).unwrap_err(), refusal, "byte by byte");
    for split in 0..=bytes.len() {
        let (one, two) = bytes.split_at(split);
        assert_eq!(verdict([one, two]).unwrap_err(), refusal, "split at {split}");
    }
}

#[track_caller]
fn accepted(bytes: &[u8]) {
    let ways = [vec![bytes], bytes.chunks(1).collect()].into_iter();
    let splits = (0..=bytes.len()).map(|at| <[_; 2]>::from(bytes.split_at(at)).to_vec());
    for pieces in ways.chain(splits) {
        let Ok(framing) = verdict(pieces) else { panic!("{}", bytes.escape_ascii()) };
        assert!(framing.between_requests());
        assert_eq!(framing.unfinished_head(), None);
    }
}

#[test]
fn a_head_with_two_readings_is_refused_however_it_is_cut() {
    for (head, violation) in BAD_HEADS {
        refused(head.as_bytes(), *violation);
        let pipelined = [GOOD[7], head].concat();
        refused(pipelined.as_bytes(), *violation);
    }
}

#[test]
fn a_head_is_refused_before_its_last_line_end() {
    for (head, _) in BAD_HEADS {
        let refusal = verdict([head.as_bytes()]).unwrap_err();
        assert!(!head[..refusal.at].contains("\r\n\r\n"), "{}", head.escape_default());
    }
}

#[test]
fn a_chunked_body_with_two_readings_is_refused_however_it_is_cut() {
    for (body, violation) in BAD_CHUNKS {
        let request = [CHUNKED, body].concat();
        refused(request.as_bytes(), *violation);
    }
}

#[test]
fn what_has_one_reading_passes_however_it_is_cut() {
    for requests in GOOD {
        accepted(requests.as_bytes());
    }
}

#[test]
fn a_body_of_the_greatest_length_is_skipped_without_counting_lines() {
    let mut framing =
        verdict([&b"POST / HTTP/1.1\r\nContent-Length: 18446744073709551615\r\n\r\n"[..]]).unwrap();
    framing.advance(&b"\n\0\r\r".repeat(10_000)).unwrap();
    assert!(!framing.between_requests());
}

#[test]
fn a_head_is_unfinished_from_its_first_byte_to_its_last() {
    let request = b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello";
    let head = request.len() - 5;
    let mut framing = Framing::default();
    for turn in 0..2 {
        for (at, byte) in request.iter().enumerate() {
            framing.advance(&[*byte]).unwrap();
            assert_eq!(framing.unfinished_head(), (at + 1 < head).then_some(turn));
        }
    }
}

#[test]
fn a_violation_says_which_rule() {
    assert_eq!(Violation::BothLengths.to_string(), "both Content-Length and Transfer-Encoding");
}

/// A request, and what its handler should see of the body.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) bytes: Vec<u8>,
    pub(super) body: Vec<u8>,
}

fn any_case(name: &'static str) -> impl Strategy<Value = String> {
    vec(any::<bool>(), name.len()).prop_map(move |upper| {
        let cased = name.chars().zip(upper);
        cased.map(|(c, upper)| if upper { c.to_ascii_uppercase() } else { c }).collect()
    })
}

fn head() -> impl Strategy<Value = String> {
    let fields = vec("X-[A-Za-z0-9-]{0,70}:[ \t]?[!-~]{0,80}[ \t]?\r\n", 0..5);
    ("(GET|POST|PUT|BREW)", "/[a-z0-9/%?=]{0,90}", "[01]", fields).prop_map(
        |(method, target, minor, fields)| {
            let fields = fields.concat();
            // What HTTP/1.0 needs to be followed by another request.
            format!("{method} {target} HTTP/1.{minor}\r\nConnection: keep-alive\r\n{fields}")
        },
    )
}

fn sized() -> impl Strategy<Value = Sent> {
    (head(), any_case("content-length"), "[ \t]{0,4}0{0,3}", vec(any::<u8>(), 0..300)).prop_map(
        |(head, name, pad, body)| {
            let mut bytes = format!("{head}{name}:{pad}{}\r\n\r\n", body.len()).into_bytes();
            bytes.extend_from_slice(&body);
            Sent { bytes, body }
        },
    )
}

fn chunked() -> impl Strategy<Value = Sent> {
    let chunk = (vec(any::<u8>(), 1..100), "(;[ -~]{0,70})?");
    let trailers = vec("X-[a-z]{0,20}: [!-~]{0,40}\r\n", 0..3);
    (head(), any_case("transfer-encoding"), any_case("chunked"), vec(chunk, 0..4), trailers)
        .prop_map(|(head, name, coding, chunks, trailers)| {
            let head = head.replace("HTTP/1.0", "HTTP/1.1");
            let mut bytes = format!("{head}{name}: {coding}\r\n\r\n").into_bytes();
            let mut body = Vec::new();
            for (data, extension) in chunks {
                bytes.extend(format!("{:x}{extension}\r\n", data.len()).bytes());
                bytes.extend_from_slice(&data);
                bytes.extend_from_slice(b"\r\n");
                body.extend(data);
            }
            bytes.extend(format!("0\r\n{}\r\n", trailers.concat()).bytes());
            Sent { bytes, body }
        })
}

pub(super) fn requests() -> impl Strategy<Value = Vec<Sent>> {
    let bare = head().prop_map(|head| Sent { bytes: format!("{head}\r\n").into(), body: vec![] });
    vec(prop_oneof![bare, sized(), chunked()], 1..5)
}

/// `bytes` in pieces that begin at these places.
pub(super) fn cut(bytes: &[u8], places: &[Index]) -> Vec<Vec<u8>> {
    let mut places: Vec<_> = places.iter().map(|place| place.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.dedup();
    places.windows(2).map(|piece| bytes[piece[0]..piece[1]].to_vec()).collect()
}

proptest! {
    #[test]
    fn valid_requests_are_never_refused(
        requests in requests(),
        places in vec(any::<Index>(), 0..20),
    ) {
        let bytes = requests.iter().flat_map(|sent| sent.bytes.clone()).collect::<Vec<_>>();
        let framing = verdict(cut(&bytes, &places).iter().map(Vec::as_slice)).unwrap();
        prop_assert!(framing.between_requests());
    }

    #[test]
    fn the_verdict_on_anything_does_not_depend_on_how_it_is_cut(
        requests in requests(),
        changes in vec((any::<Index>(), prop::sample::select(&b"\r\n\0 :;05a\t"[..])), 0..4),
        places in vec(any::<Index>(), 0..20),
    ) {
        let mut bytes = requests.iter().flat_map(|sent| sent.bytes.clone()).collect::<Vec<_>>();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let whole = verdict([bytes.as_slice()]).map(|framing| framing.unfinished_head());
        let pieces = verdict(cut(&bytes, &places).iter().map(Vec::as_slice));
        prop_assert_eq!(pieces.map(|framing| framing.unfinished_head()), whole);
    }
}
