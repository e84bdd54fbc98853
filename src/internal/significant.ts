/**
 * Measured numbers as people read them.
 */

/** `0.0417`, `4.17`, `417`, `4,170`: three digits, or all before the point. Less than a thousandth is 0. */
export const significant = (value: number): string =>
  (value < 0.001 ? 0 : value).toLocaleString(
    "en-US",
    value >= 100 ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: 3 }
  )
