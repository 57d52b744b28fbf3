mod damage;
mod golden;
mod make;
mod manifest;
mod model;
mod names;
mod xmp;
