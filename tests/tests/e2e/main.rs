//! End to end: the real `dhow` and `dhow-shim` with a real runtime. One module an area of what a user does.

mod attach;
mod bad_input;
mod concurrent;
mod exec;
mod faults;
mod host;
mod images;
mod layers;
mod lifecycle;
mod logs;
mod monitors;
mod mounts;
mod namespaces;
mod network;
mod oracle;
mod process;
mod registry;
mod resources;
mod restart;
mod run;
mod save;
mod security;
mod show;
mod stop;
mod storage;
mod terminal;
