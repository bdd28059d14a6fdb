//! Pages of lists.

use serde::Deserialize;
use towpath_api::rest::Page;

/// Which page is asked for.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
pub(crate) struct Paging {
    /// The `next` of the page before.
    cursor: Option<String>,
    /// How many items, 1 to 200; 50 if absent.
    limit: Option<u32>,
}

impl Paging {
    /// Where to go on.
    pub(crate) fn cursor(&self) -> &str {
        self.cursor.as_deref().unwrap_or_default()
    }

    /// How many items to send.
    pub(crate) fn limit(&self) -> u32 {
        self.limit.unwrap_or(50).clamp(1, 200)
    }

    /// Makes a page of up to `limit + 1` items: the one too many only says that there are more.
    pub(crate) fn page<T>(&self, mut items: Vec<T>, cursor: impl Fn(&T) -> String) -> Page<T> {
        let limit = self.limit() as usize;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(cursor) } else { None };
        Page { items, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_where_to_go_on_only_if_there_is_more() {
        let paging = Paging { cursor: None, limit: Some(2) };
        let page = paging.page(vec![1, 2, 3], ToString::to_string);
        assert_eq!((page.items, page.next), (vec![1, 2], Some("2".to_owned())));
        assert_eq!(paging.page(vec![1, 2], ToString::to_string).next, None);
        assert_eq!(Paging { cursor: None, limit: Some(100_000) }.limit(), 200);
    }
}
