package catalog

import "sync"

// recent keeps what was asked for lately, within a bound. It has two halves: when the young one is full it becomes the
// old one, and what the former old one held and nobody asked for again is forgotten.
type recent[K comparable, V any] struct {
	weigh func(V) int // bytes, roughly
	limit int         // bytes in one half

	mu         sync.Mutex
	young, old map[K]kept[V]
	weight     int // bytes in young
}

// kept is a value and what had happened when it was read.
type kept[V any] struct {
	stamp  stamp
	weight int
	value  V
}

func newRecent[K comparable, V any](limit int, weigh func(V) int) *recent[K, V] {
	return &recent[K, V]{weigh: weigh, limit: limit / 2, young: map[K]kept[V]{}}
}

// get returns the value of a key if it is as good as one that is read now.
func (r *recent[K, V]) get(key K, now stamp) (V, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k, ok := r.young[key]
	if !ok {
		if k, ok = r.old[key]; ok && k.stamp == now {
			delete(r.old, key)
			r.add(key, k)
		}
	}
	if !ok || k.stamp != now {
		var none V
		return none, false
	}
	return k.value, true
}

// put keeps a value that was read after now was taken. One that would push out much else is not kept.
func (r *recent[K, V]) put(key K, now stamp, value V) {
	weight := r.weigh(value)
	if weight > r.limit/8 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(key, kept[V]{now, weight, value})
}

func (r *recent[K, V]) add(key K, k kept[V]) {
	r.weight += k.weight - r.young[key].weight
	r.young[key] = k
	if r.weight > r.limit {
		r.old, r.young, r.weight = r.young, map[K]kept[V]{}, 0
	}
}
