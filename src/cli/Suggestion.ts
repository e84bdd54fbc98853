/**
 * "Did you mean": the known word nearest to a mistyped one.
 */

/** Edits between two words, a swap of neighbours counting as one (optimal string alignment). */
export const distance = (a: string, b: string): number => {
  let beforeLast: ReadonlyArray<number> = []
  let last: ReadonlyArray<number> = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      const edit = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + (same ? 0 : 1))
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      row.push(swapped ? Math.min(edit, (beforeLast[j - 2] ?? 0) + 1) : edit)
    }
    beforeLast = last
    last = row
  }
  return last[b.length] ?? 0
}

/** The nearest word, if it is near: a third of its letters may be wrong, or the rest of it missing. */
export const nearest = (word: string, known: Iterable<string>): string | undefined => {
  let best: { readonly word: string; readonly distance: number } | undefined
  for (const candidate of known) {
    const edits = word.length >= 3 && candidate.startsWith(word) ? 1 : distance(word.toLowerCase(), candidate)
    if (edits <= Math.max(1, Math.floor(candidate.length / 3)) && edits < (best?.distance ?? Infinity)) {
      best = { word: candidate, distance: edits }
    }
  }
  return best?.word
}
