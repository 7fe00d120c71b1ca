//! The scanner from outside: what each kind accepts and what only looks like it, and promises that hold for any text.

mod cases;
mod fuzz;
mod oracle;
