/**
 * Positions in the write-ahead log and the names of the segment files that hold them.
 */

/** `"16/B374D848"` as a byte position; `undefined` for anything else. */
export const parse = (text: string): bigint | undefined => {
  const match = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(text)
  return match === null ? undefined : (BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`)
}

export const format = (lsn: bigint): string =>
  `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffffffffn).toString(16).toUpperCase()}`

const hex8 = (value: bigint): string => value.toString(16).toUpperCase().padStart(8, "0")

/** The segment files of one timeline that hold the bytes from `start` up to, not including, `end`. */
export const segments = (timeline: number, start: bigint, end: bigint, segmentBytes: number): ReadonlyArray<string> => {
  const size = BigInt(segmentBytes)
  const perLogId = 0x1_0000_0000n / size
  const last = end > start ? (end - 1n) / size : start / size
  const names: Array<string> = []
  for (let number = start / size; number <= last; number++) {
    names.push(`${hex8(BigInt(timeline))}${hex8(number / perLogId)}${hex8(number % perLogId)}`)
  }
  return names
}
