//! Pages of a listing.
//!
//! A cursor is the id of a record, not a position, so a page neither repeats nor loses records
//! when others come and go in between.

use std::ops::Range;

/// The most records on a page, unless another limit is set (assumed: the API names no maximum).
const LARGEST_PAGE: usize = 1000;

/// The records on a page if the client does not say.
const USUAL_PAGE: usize = 100;

/// The most records on a page, and what happens to a request for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimit {
    /// The most records on a page.
    pub records: usize,
    /// What happens to a larger `count`.
    pub oversized: OversizedCount,
}

/// What happens to a `count` above the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OversizedCount {
    /// The page is as large as the limit allows.
    #[default]
    Clamp,
    /// The request is refused with 400.
    Refuse,
}

impl PageLimit {
    /// Pages hold at most `records`, whatever is asked for.
    pub fn clamp(records: usize) -> Self {
        Self {
            records,
            oversized: OversizedCount::Clamp,
        }
    }

    /// A `count` above `records` is refused with 400.
    pub fn refuse(records: usize) -> Self {
        Self {
            records,
            oversized: OversizedCount::Refuse,
        }
    }
}

impl Default for PageLimit {
    fn default() -> Self {
        Self::clamp(LARGEST_PAGE)
    }
}

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

/// Whether a listing loses its last page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LastPage {
    /// It is linked, as it should be.
    #[default]
    Linked,
    /// The page before it has no link to it.
    Unlinked,
}

/// What a client asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageRequest {
    pub(super) count: usize,
    pub(super) cursor: Option<usize>,
    pub(super) order: Order,
    pub(super) side: Side,
    pub(super) last_page: LastPage,
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
    /// Reads `count`, `offset`, `descending` and `prev`; `position` finds the record whose id an
    /// offset is.
    pub(super) fn read(
        value: impl Fn(&str) -> Option<String>,
        limit: PageLimit,
        position: impl Fn(&str) -> Option<usize>,
    ) -> Result<Self, BadParameter> {
        let count = match value("count") {
            None => USUAL_PAGE,
            Some(text) => text
                .parse()
                .ok()
                .filter(|count| *count > 0)
                .ok_or(BadParameter("count", "must be a positive number"))?,
        };
        let most = limit.records.max(1);
        if count > most && limit.oversized == OversizedCount::Refuse && value("count").is_some() {
            return Err(BadParameter("count", "is too large"));
        }
        let cursor = match value("offset").filter(|text| !text.is_empty()) {
            None => None,
            Some(text) => {
                Some(position(&text).ok_or(BadParameter("offset", "is not the id of an object"))?)
            }
        };
        let flag = |name| value(name).is_some_and(|text| text == "true" || text == "1");
        Ok(Self {
            count: count.min(most),
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
            last_page: LastPage::default(),
        })
    }

    fn is_upwards(&self) -> bool {
        (self.order == Order::Ascending) == (self.side == Side::After)
    }

    /// The positions, out of `0..records`, that lie on the wanted side of the cursor.
    pub(super) fn range(&self, records: usize) -> Range<usize> {
        match self.cursor {
            Some(cursor) if self.is_upwards() => cursor.saturating_add(1).min(records)..records,
            Some(cursor) => 0..cursor.min(records),
            None => 0..records,
        }
    }

    /// Takes the page out of the positions in [`Self::range`], in ascending order; `pick` gives
    /// the record at a position, if it is there and wanted.
    pub(super) fn take<T>(
        &self,
        positions: impl DoubleEndedIterator<Item = usize>,
        pick: impl Fn(usize) -> Option<T>,
    ) -> Page<T> {
        let found = |position| pick(position).map(|item| (position, item));
        if self.is_upwards() {
            self.gather(positions.filter_map(found))
        } else {
            self.gather(positions.rev().filter_map(found))
        }
    }

    fn gather<T>(&self, mut records: impl Iterator<Item = (usize, T)>) -> Page<T> {
        let mut found: Vec<(usize, T)> = records.by_ref().take(self.count).collect();
        let more = match (records.next(), self.last_page) {
            (None, _) => false,
            (Some(_), LastPage::Linked) => true,
            // One record of the next page is taken already.
            (Some(_), LastPage::Unlinked) => records.take(self.count).count() == self.count,
        };
        let came_from_elsewhere = self.cursor.is_some() && !found.is_empty();
        let (has_next, has_prev) = match self.side {
            Side::After => (more, came_from_elsewhere),
            Side::Before => (came_from_elsewhere, more),
        };
        if self.side == Side::Before {
            found.reverse();
        }
        let next = found.last().map(|(position, _)| *position);
        let prev = found.first().map(|(position, _)| *position);
        Page {
            next: next.filter(|_| has_next),
            prev: prev.filter(|_| has_prev),
            items: found.into_iter().map(|(_, item)| item).collect(),
        }
    }
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
            last_page: LastPage::Linked,
        }
    }

    fn page(request: PageRequest) -> Page<usize> {
        let even = |position: usize| position.is_multiple_of(2).then_some(position);
        request.take(request.range(20), even)
    }

    #[test]
    fn following_next_visits_every_wanted_record_once_in_either_order() {
        for order in [Order::Ascending, Order::Descending] {
            let mut seen = Vec::new();
            let mut cursor = None;
            loop {
                let page = page(request(3, cursor, order, Side::After));
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
        let first = page(request(3, None, Order::Ascending, Side::After));
        assert_eq!(
            (first.items.as_slice(), first.prev),
            ([0, 2, 4].as_slice(), None)
        );
        let second = page(request(3, first.next, Order::Ascending, Side::After));
        let back = page(request(3, second.prev, Order::Ascending, Side::Before));
        assert_eq!(back.items, first.items);
        assert_eq!((back.next, back.prev), (Some(4), None));
    }

    #[test]
    fn a_full_last_page_has_no_next() {
        let page = page(request(10, None, Order::Ascending, Side::After));
        assert_eq!((page.items.len(), page.next), (10, None));
    }

    #[test]
    fn an_unlinked_last_page_is_the_only_one_that_gets_lost() {
        let mut asked = request(3, None, Order::Ascending, Side::After);
        asked.last_page = LastPage::Unlinked;
        let mut seen = Vec::new();
        loop {
            let page = page(asked);
            seen.extend(page.items);
            asked.cursor = page.next;
            if asked.cursor.is_none() {
                break;
            }
        }
        // Ten records on pages of three: the tenth is on the last one.
        assert_eq!(seen, [0, 2, 4, 6, 8, 10, 12, 14, 16]);
    }

    #[test]
    fn an_offset_that_is_no_record_is_refused() {
        let ask = |name: &str| (name == "offset").then(|| "x".to_owned());
        let read = |found| PageRequest::read(ask, PageLimit::default(), |_| found);
        assert_eq!(read(Some(7)).unwrap().cursor, Some(7));
        assert!(read(None).is_err());
    }

    #[test]
    fn a_count_above_the_limit_is_clamped_or_refused() {
        let ask = |name: &str| (name == "count").then(|| "5000".to_owned());
        let read = |limit| PageRequest::read(ask, limit, |_| None);
        assert_eq!(read(PageLimit::default()).unwrap().count, 1000);
        assert_eq!(read(PageLimit::clamp(7)).unwrap().count, 7);
        assert!(read(PageLimit::refuse(7)).is_err());
        assert_eq!(read(PageLimit::refuse(5000)).unwrap().count, 5000);
        let unasked = PageRequest::read(|_| None, PageLimit::refuse(7), |_| None);
        assert_eq!(unasked.unwrap().count, 7, "the usual page is not asked for");
    }
}
