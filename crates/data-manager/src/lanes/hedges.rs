//! Hedges: what requests beside silent ones may cost, all of them together. Pure.
//! Refuses to choose whom to ask: it says whether what a hedge may bring in vain is paid for.

/// What may be asked for a second time while the first request is silent, in percent of all bytes that came in.
const HEDGE_PERCENT: u64 = 3;

/// What may be asked for beyond that, so that there are hedges before much has come in: as much as one long run.
const LENT_BYTES: u64 = 16 << 20;

/// Requests beside silent ones, and what they cost.
#[derive(Debug, Default)]
pub(super) struct Hedges {
    /// Those that are out to the same source as the silent request.
    open_same: u32,
    /// What all of them ever asked for, but for those to other sources that were needed: the silent request beside which one
    /// takes over has brought nothing by then.
    asked_bytes: u64,
}

/// One of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hedge {
    pub(super) bytes: u64,
    /// Whether it is to the same source as the silent request.
    pub(super) is_same: bool,
}

impl Hedges {
    /// Whether one more is paid for when so many bytes have come in. To the same source one at a time may be lent for.
    pub(super) fn may_open(&self, hedge: Hedge, fetched_bytes: u64) -> bool {
        let paid_bytes = fetched_bytes.saturating_mul(HEDGE_PERCENT) / 100;
        let asked_bytes = self.asked_bytes.saturating_add(hedge.bytes);
        // The first one is lent for however long it is.
        let is_lent = self.asked_bytes == 0 || asked_bytes <= paid_bytes.saturating_add(LENT_BYTES);
        if hedge.is_same {
            self.asked_bytes <= paid_bytes || (self.open_same == 0 && is_lent)
        } else {
            is_lent
        }
    }

    pub(super) fn open(&mut self, hedge: Hedge) {
        self.open_same += u32::from(hedge.is_same);
        self.asked_bytes = self.asked_bytes.saturating_add(hedge.bytes);
    }

    /// It goes on in the place of the request that it was made beside.
    pub(super) fn took_over(&mut self, hedge: Hedge) {
        self.close(hedge);
        if !hedge.is_same {
            self.asked_bytes = self.asked_bytes.saturating_sub(hedge.bytes);
        }
    }

    /// It was not needed.
    pub(super) fn close(&mut self, hedge: Hedge) {
        self.open_same -= u32::from(hedge.is_same);
    }
}
