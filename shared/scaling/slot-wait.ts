/**
 * More slots are not counted: so many sequences scatter by less than a fiftieth, which headroom covers, and what keeps up has
 * them wait hardly ever.
 */
const MOST_COUNTED_SLOTS = 4_096;
/** What is rarer than this is called never. */
const NEVER = 1e-12;

/**
 * Share of the sequences that wait for a KV slot for longer than `stays`, when they arrive at random.
 *
 * Source: Erlang's C formula (Erlang, "Solution of some problems in the theory of probabilities of significance in automatic
 * telephone exchanges", 1917) and the exponential tail of the wait behind it, which stays that vary less than exponential ones
 * shorten by (1 + c²) / 2 (Allen, "Probability, Statistics, and Queueing Theory", 1990: the approximation of Allen and Cunneen).
 *
 * @param sequences that decode on average, by Little's law
 * @param slots of all instances together
 * @param stays the wait in mean times that a sequence holds its slot
 * @param variation c, coefficient of variation of the times that sequences hold their slots: 1 of exponential ones
 */
export function shareWaitingLonger(sequences: number, slots: number, stays: number, variation = 1): number {
  if (sequences >= slots) return 1;
  if (slots > MOST_COUNTED_SLOTS) return 0;
  let blocked = 1;
  for (let slot = 1; slot <= slots && blocked > NEVER; slot += 1) {
    blocked = (sequences * blocked) / (slot + sequences * blocked);
  }
  const waiting = blocked / (1 - (sequences / slots) * (1 - blocked));
  return waiting * Math.exp((-(slots - sequences) * stays * 2) / (1 + variation ** 2));
}
