mod ends;
mod inputs;
mod payloads;
mod reentrancy;
mod times;
