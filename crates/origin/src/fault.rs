//! The faults an origin can show, and the plan that says which requests they strike.
//! It describes only; nothing here touches a connection.

use std::time::SystemTime;

/// One way in which an answer goes wrong.
///
/// `after` and `bytes` count the body bytes of the answer that is struck; `at` is an offset in the file, so that of several
/// ranges only the one that holds it is damaged. When the body is shorter than `after`, the fault strikes at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This status, with a short text as the body.
    Status(u16),
    /// This status with a `Retry-After`.
    StatusRetryAfter(u16, RetryAfter),
    /// 404.
    NotFound,
    /// The request is read and never answered; the connection stays open.
    Hang,
    /// The answer stops after so many body bytes; the connection stays open.
    HangBody {
        /// Body bytes sent before.
        after: u64,
    },
    /// The connection is reset (RST) instead of an answer.
    ResetBeforeAnswer,
    /// The connection is reset (RST) after so many body bytes. What the kernel still holds then is lost.
    Reset {
        /// Body bytes written before.
        after: u64,
    },
    /// The connection is closed (FIN) after so many body bytes, under the full `Content-Length`.
    Close {
        /// Body bytes sent before.
        after: u64,
    },
    /// The file looks shorter than it is, consistently and under its usual `ETag`, as from a cache that kept a part.
    Truncate {
        /// Bytes missing at the end.
        by: u64,
    },
    /// Declares more than it sends: the whole body under a `Content-Length` that is 4096 too large, then FIN.
    Short,
    /// Sends more than the file holds: chunked, so many bytes too many.
    Long {
        /// Bytes too many.
        extra: u64,
    },
    /// A chunked body that never ends; it starts with the right bytes.
    Endless,
    /// `Content-Length` is 2^62; the real body, then FIN.
    HugeLength,
    /// One bit of the byte at this offset of the file is flipped.
    FlipByte {
        /// Offset in the file.
        at: u64,
    },
    /// 200 with an HTML page in place of the file, as from a captive portal.
    ErrorPage,
    /// 200 with the whole file although a range was asked for.
    IgnoreRange,
    /// 206 with another range than the one asked for; `Content-Range` says which.
    WrongOffset,
    /// 206 whose `Content-Range` names another total size. Strikes ranges only.
    WrongTotal,
    /// Each answer has another `ETag`; `If-Range` and `If-Match` therefore never match.
    ETagEachTime,
    /// The `ETag` is weak; by the standard `If-Range` and `If-Match` then never match.
    WeakEtag,
    /// There is no `ETag`.
    NoEtag,
    /// The file changes after so many body bytes: the rest of the answer and all later answers come from other content of
    /// the same length ([`Origin::content`](crate::Origin::content) tells which), later ones under a new `ETag`.
    ChangeAfter {
        /// Body bytes sent before.
        bytes: u64,
    },
    /// The body crawls.
    Drip {
        /// Speed of the body.
        bytes_per_second: u64,
    },
    /// The body pauses.
    Stall {
        /// Body bytes sent before.
        after: u64,
        /// How long.
        for_ms: u64,
    },
    /// `Content-Encoding: gzip` although it was not asked for: a valid gzip stream of the body.
    GzipEncoding,
    /// Headers of so many bytes in all, then the proper answer.
    HugeHeaders {
        /// Bytes of padding.
        bytes: u64,
    },
    /// The head of the answer comes at ten bytes a second.
    SlowHeaders,
    /// 302 to the URL that was asked for.
    RedirectLoop,
    /// 302 to this URL.
    RedirectTo(String),
    /// A status line that is not HTTP.
    BadStatusLine,
    /// The proper answer, later.
    Delay {
        /// How much later.
        for_ms: u64,
    },
}

/// The value of a `Retry-After` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// Whole seconds.
    Seconds(u64),
    /// An HTTP date.
    Date(SystemTime),
    /// Whatever this says. Line breaks are left out.
    Raw(String),
}

/// Which requests for a path a plan strikes. Each plan counts each path for itself, and only requests that no other plan took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// All of them.
    Always,
    /// The first n.
    First(u64),
    /// The k-th, the 2k-th and so on; never, when k is 0.
    Every(u64),
    /// This share, chosen by seed, path and number of the request, so that a run can be repeated.
    Share {
        /// 0 to 100.
        percent: u8,
        /// Chooses the requests.
        seed: u64,
    },
}

/// A fault, and the requests it strikes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Which requests for a path.
    pub when: When,
    /// What happens to them.
    pub fault: Fault,
}

impl Plan {
    /// Strikes every request.
    pub fn always(fault: Fault) -> Plan {
        Plan { when: When::Always, fault }
    }

    /// Strikes the first `count` requests for each path.
    pub fn first(count: u64, fault: Fault) -> Plan {
        Plan { when: When::First(count), fault }
    }

    /// Strikes each `nth` request for each path.
    pub fn every(nth: u64, fault: Fault) -> Plan {
        Plan { when: When::Every(nth), fault }
    }

    /// Strikes `percent` of the requests, chosen by `seed`.
    pub fn share(percent: u8, seed: u64, fault: Fault) -> Plan {
        Plan { when: When::Share { percent, seed }, fault }
    }
}
