//! Parts of long lists.

/// Which part of a list is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// The number of the page; the first one is 1.
    pub number: u32,
    /// Entries on a page, 1 to 1000.
    pub size: u32,
}

/// There is no such page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// Pages are counted from one.
    #[error("pages are counted from 1")]
    Number,
    /// The size is zero or over the limit.
    #[error("a page has 1 to {max} entries, not {0}", max = Page::MAX_SIZE)]
    Size(u32),
}

impl Page {
    /// The most entries of one page.
    pub const MAX_SIZE: u32 = 1000;

    /// A page by number and size.
    ///
    /// # Errors
    ///
    /// Where the number is zero or the size is not 1 to 1000.
    pub const fn new(number: u32, size: u32) -> Result<Self, PageError> {
        if number == 0 {
            Err(PageError::Number)
        } else if size == 0 || size > Self::MAX_SIZE {
            Err(PageError::Size(size))
        } else {
            Ok(Self { number, size })
        }
    }

    pub(crate) fn limit(self) -> i64 {
        i64::from(self.size.clamp(1, Self::MAX_SIZE))
    }

    pub(crate) fn offset(self) -> i64 {
        i64::from(self.number.saturating_sub(1)) * self.limit()
    }
}

/// Part of a list and the length of the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paged<T> {
    /// Entries of all pages together.
    pub count: u64,
    /// The entries of this page.
    pub results: Vec<T>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_have_limits() {
        assert_eq!(Page::new(0, 10), Err(PageError::Number));
        assert_eq!(Page::new(1, 0), Err(PageError::Size(0)));
        assert_eq!(Page::new(1, 1001), Err(PageError::Size(1001)));
        let page = Page::new(3, 20).expect("a page");
        assert_eq!((page.limit(), page.offset()), (20, 40));
        let last = Page::new(u32::MAX, 1000).expect("a page");
        assert_eq!(last.offset(), (i64::from(u32::MAX) - 1) * 1000);
    }
}
