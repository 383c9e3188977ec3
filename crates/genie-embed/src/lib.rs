//! Text to dense vectors (candle encoders) and to lexical sparse vectors.
