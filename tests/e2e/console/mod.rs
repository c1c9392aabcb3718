//! The console as people meet it, in a real browser: nobody gets in who may not, and who may gets things done.

mod sign_in;
