//! An HTTP/1.1 origin over loopback for trials: it serves files quickly and breaks its answers on request.
//! It refuses to be a web server: no TLS, no uploads, no address but loopback.
//!
//! ```
//! # async fn example() -> std::io::Result<()> {
//! use origin::{Content, Fault, Origin, Plan, Site};
//!
//! let site = Site::new().file("chunk/blocks.parquet", Content::Generated { seed: 7, len: 1 << 20 });
//! let origin = Origin::start(site).await?;
//! origin.set_fault("chunk/", Plan::first(2, Fault::Reset { after: 1000 }));
//! let url = origin.url("chunk/blocks.parquet");
//! // ... fetch `url`; the third request for the path is answered properly ...
//! assert_eq!(origin.log().len(), 0);
//! # Ok(())
//! # }
//! ```

mod answer;
mod connection;
mod content;
mod damage;
mod fault;
mod link;
mod listing;
mod log;
mod origin;
mod player;
mod request;
mod rules;
mod script;
mod site;
mod state;

pub use content::{Content, generate};
pub use fault::{Fault, Plan, RetryAfter, When};
pub use link::Link;
pub use log::LogEntry;
pub use origin::Origin;
pub use site::Site;
