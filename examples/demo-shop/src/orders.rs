//! Orders: each is packed from a shelf of the warehouse.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Over how many shelves the orders are spread.
const SHELVES: u64 = 4;

/// What lies on the shelves of the warehouse.
const STOCK: [&str; 4] = ["apples", "pears", "plums", "quinces"];

/// One order in so many does not get through to the warehouse: 0.2 %, as real services have it.
const LOST_ONE_IN: u64 = 500;

/// Numbers the orders.
pub struct Counter {
    next: AtomicU64,
}

impl Default for Counter {
    /// Starts anywhere, so that two Instances do not lose the same orders.
    fn default() -> Self {
        let start = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64);
        Self { next: AtomicU64::new(start) }
    }
}

impl Counter {
    /// Takes the next order.
    pub fn next(&self) -> Order {
        Order { ticket: scramble(self.next.fetch_add(1, Ordering::Relaxed)) }
    }
}

/// An order of a customer.
pub struct Order {
    ticket: u64,
}

impl Order {
    /// Packs the order and writes the receipt.
    pub fn place(&self) -> Result<String, String> {
        if (self.ticket >> 32).is_multiple_of(LOST_ONE_IN) {
            return Err(format!("order {:x} did not get through to the warehouse", self.ticket));
        }
        let shelf = self.ticket % SHELVES;
        match STOCK.get(shelf as usize) {
            Some(fruit) => Ok(format!("order {:x}: {fruit}\n", self.ticket)),
            None => Err(format!("order {:x}: there is no shelf {shelf}", self.ticket)),
        }
    }
}

/// Spreads counted numbers evenly (SplitMix64).
const fn scramble(number: u64) -> u64 {
    let number = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ticket that gets through to the warehouse and to the first shelf.
    const LUCKY: u64 = 20 << 32;

    #[test]
    fn packs_from_the_shelf() {
        let receipt = Order { ticket: LUCKY }.place().unwrap();
        assert!(receipt.ends_with("apples\n"), "{receipt}");
    }

    #[test]
    fn loses_few_orders() {
        let counter = Counter { next: AtomicU64::new(0) };
        let placed = (0..10_000).map(|_| counter.next()).filter(|order| order.ticket >> 32 != 0);
        let lost = placed.filter(|order| (order.ticket >> 32).is_multiple_of(LOST_ONE_IN)).count();
        assert!((5..50).contains(&lost), "{lost} of 10,000 orders were lost");
    }
}
