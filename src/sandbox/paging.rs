//! Pages of a listing, and the `Link` headers that join them.
//!
//! A cursor points *at a record*, not at a position, so a page neither repeats nor loses records
//! when others come and go in between.

use std::fmt::Write as _;

use axum::http::{HeaderMap, HeaderValue, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// The most records on a page (assumed in the API's description).
const LARGEST_PAGE: usize = 1000;

/// The records on a page if the client does not say.
const USUAL_PAGE: usize = 100;

/// The order of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Ascending,
    Descending,
}

/// Which side of the cursor a page is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    After,
    Before,
}

/// What a client asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageRequest {
    pub(super) count: usize,
    pub(super) cursor: Option<usize>,
    pub(super) order: Order,
    pub(super) side: Side,
}

/// One page.
#[derive(Debug)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    /// The cursor of the page after this one.
    pub(super) next: Option<usize>,
    /// The cursor of the page before this one.
    pub(super) prev: Option<usize>,
}

/// A parameter that is not what it should be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadParameter(pub(super) &'static str, pub(super) &'static str);

impl PageRequest {
    /// Reads `count`, `offset`, `descending` and `prev`.
    pub(super) fn read(
        value: impl Fn(&str) -> Option<String>,
        cap: Option<usize>,
    ) -> Result<Self, BadParameter> {
        let count = match value("count") {
            None => USUAL_PAGE,
            Some(text) => text
                .parse()
                .ok()
                .filter(|count| *count > 0)
                .ok_or(BadParameter("count", "must be a positive number"))?,
        };
        let cursor = match value("offset").filter(|text| !text.is_empty()) {
            None => None,
            Some(text) => Some(decode(&text).ok_or(BadParameter("offset", "is not a cursor"))?),
        };
        let flag = |name| value(name).is_some_and(|text| text == "true" || text == "1");
        Ok(Self {
            count: count
                .min(cap.unwrap_or(LARGEST_PAGE))
                .clamp(1, LARGEST_PAGE),
            cursor,
            order: if flag("descending") {
                Order::Descending
            } else {
                Order::Ascending
            },
            side: if flag("prev") {
                Side::Before
            } else {
                Side::After
            },
        })
    }

    /// Takes the page out of `records` records; `pick` gives the one at an index, if it is there
    /// and wanted.
    pub(super) fn take<T>(&self, records: usize, pick: impl Fn(usize) -> Option<T>) -> Page<T> {
        let upwards = (self.order == Order::Ascending) == (self.side == Side::After);
        let first = match self.cursor {
            Some(cursor) if upwards => cursor.saturating_add(1),
            _ => 0,
        };
        let end = match self.cursor {
            Some(cursor) if !upwards => cursor.min(records),
            _ => records,
        };
        let mut indices: Box<dyn Iterator<Item = usize>> = if upwards {
            Box::new(first..end)
        } else {
            Box::new((0..end).rev())
        };
        let mut found: Vec<(usize, T)> = Vec::new();
        let mut more = false;
        for index in &mut indices {
            if let Some(item) = pick(index) {
                if found.len() == self.count {
                    more = true;
                    break;
                }
                found.push((index, item));
            }
        }
        let came_from_elsewhere = self.cursor.is_some() && !found.is_empty();
        let (has_next, has_prev) = match self.side {
            Side::After => (more, came_from_elsewhere),
            Side::Before => (came_from_elsewhere, more),
        };
        if self.side == Side::Before {
            found.reverse();
        }
        let next = found.last().map(|(index, _)| *index);
        let prev = found.first().map(|(index, _)| *index);
        Page {
            next: next.filter(|_| has_next),
            prev: prev.filter(|_| has_prev),
            items: found.into_iter().map(|(_, item)| item).collect(),
        }
    }
}

/// What the links of a page say, and in which of the legal shapes.
pub(super) struct Links<'a> {
    /// `http://127.0.0.1:1234`
    pub(super) origin: &'a str,
    pub(super) path: &'a str,
    /// The parameters of the request that stay the same.
    pub(super) query: Vec<(String, String)>,
    pub(super) shape: u64,
}

impl Links<'_> {
    /// The `Link` headers of a page.
    pub(super) fn headers(&self, next: Option<usize>, prev: Option<usize>) -> HeaderMap {
        let mut links = Vec::new();
        if let Some(cursor) = prev {
            let target = self.target(cursor, "&prev=true");
            links.push(match self.shape % 6 {
                0 | 1 => format!("<{target}>; rel=\"prev\""),
                2 => format!("<{target}>; rel=prev"),
                3 => format!("<{target}>;title=\"the page before, again\";rel=\"prev previous\""),
                _ => format!("<{target}>; Rel=\"prev\"; type=\"application/json\""),
            });
        }
        if let Some(cursor) = next {
            let target = self.target(cursor, "");
            links.push(match self.shape % 6 {
                0 | 1 => format!("<{target}>; rel=\"next\""),
                2 => format!("<{target}>; rel=next"),
                3 => format!("<{target}>;title=\"more; rel=\\\"prev\\\", and more\";rel=\"next\""),
                _ => format!("<{target}>; type=\"application/json\" ; Rel=\"nothing next\""),
            });
        }
        let fields = if self.shape.is_multiple_of(2) {
            vec![links.join(", ")]
        } else {
            links
        };
        let mut headers = HeaderMap::new();
        for field in fields.iter().filter(|field| !field.is_empty()) {
            if let Ok(value) = HeaderValue::from_str(field) {
                headers.append(header::LINK, value);
            }
        }
        headers
    }

    fn target(&self, cursor: usize, rest: &str) -> String {
        // A reference without host is as good as one with it (RFC 8288, 3.1).
        let origin = if self.shape % 6 == 5 { "" } else { self.origin };
        let mut target = format!("{origin}{}?", self.path);
        for (name, value) in &self.query {
            let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
            // Writing to a string cannot fail.
            let _ = write!(target, "{name}={value}&");
        }
        let cursor = encode(cursor);
        let cursor = utf8_percent_encode(&cursor, NON_ALPHANUMERIC);
        let _ = write!(target, "offset={cursor}{rest}");
        target
    }
}

/// Makes a cursor's text. It holds characters that must be percent-encoded, so that a client that
/// takes the link apart instead of following it comes to grief here.
fn encode(cursor: usize) -> String {
    format!("{cursor:x}/{:02x}==", check(cursor))
}

fn decode(text: &str) -> Option<usize> {
    let (cursor, sum) = text.strip_suffix("==")?.split_once('/')?;
    let cursor = usize::from_str_radix(cursor, 16).ok()?;
    (sum == format!("{:02x}", check(cursor))).then_some(cursor)
}

fn check(cursor: usize) -> usize {
    cursor.wrapping_mul(167).wrapping_add(29) % 251
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(count: usize, cursor: Option<usize>, order: Order, side: Side) -> PageRequest {
        PageRequest {
            count,
            cursor,
            order,
            side,
        }
    }

    fn even(index: usize) -> Option<usize> {
        index.is_multiple_of(2).then_some(index)
    }

    #[test]
    fn following_next_visits_every_wanted_record_once_in_either_order() {
        for order in [Order::Ascending, Order::Descending] {
            let mut seen = Vec::new();
            let mut cursor = None;
            loop {
                let page = request(3, cursor, order, Side::After).take(20, even);
                assert!(page.items.len() <= 3);
                seen.extend(page.items);
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
            let mut expected: Vec<usize> = (0..20).step_by(2).collect();
            if order == Order::Descending {
                expected.reverse();
            }
            assert_eq!(seen, expected);
        }
    }

    #[test]
    fn prev_leads_back_to_the_page_before() {
        let first = request(3, None, Order::Ascending, Side::After).take(20, even);
        assert_eq!(
            (first.items.as_slice(), first.prev),
            ([0, 2, 4].as_slice(), None)
        );
        let second = request(3, first.next, Order::Ascending, Side::After).take(20, even);
        let back = request(3, second.prev, Order::Ascending, Side::Before).take(20, even);
        assert_eq!(back.items, first.items);
        assert_eq!((back.next, back.prev), (Some(4), None));
    }

    #[test]
    fn a_full_last_page_has_no_next() {
        let page = request(10, None, Order::Ascending, Side::After).take(20, even);
        assert_eq!((page.items.len(), page.next), (10, None));
    }

    #[test]
    fn a_cursor_that_was_not_given_out_is_refused() {
        assert_eq!(decode(&encode(4711)), Some(4711));
        for text in ["", "1", "1267/00==", "zz/00==", "-1/00=="] {
            assert_eq!(decode(text), None, "{text}");
        }
        let ask = |name: &str| (name == "offset").then(|| "12".to_owned());
        assert!(PageRequest::read(ask, None).is_err());
    }

    #[test]
    fn a_page_is_never_larger_than_the_server_allows() {
        let ask = |name: &str| (name == "count").then(|| "5000".to_owned());
        assert_eq!(PageRequest::read(ask, None).unwrap().count, 1000);
        assert_eq!(PageRequest::read(ask, Some(7)).unwrap().count, 7);
    }
}
