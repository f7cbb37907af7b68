//! dayfly's pages in a real browser. Skipped, and said so, where there is none: `scripts/test pages` installs it.

mod live;
mod odd;
mod report;
