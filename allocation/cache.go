package allocation

import "sync"

// planKey is what a plan depends on beside the view: the copies beside the named
// members, or pinset.Everywhere; tags and named members encoded.
type planKey struct {
	copies, class int
	tags, include string
}

// planCache keeps the plans in use. When a generation is full it becomes the old
// one, and what is not asked for again before the next turn is dropped.
type planCache struct {
	limit int // plans in a generation

	mu       sync.RWMutex
	now, old map[planKey]*cachedPlan
}

type cachedPlan struct {
	once sync.Once
	plan *plan
}

// cacheRows bounds a generation's size in rows, one for each member of a plan, of
// some 50 bytes each.
const cacheRows = 1 << 19

func newPlanCache(members int) *planCache {
	return &planCache{
		limit: max(4, min(256, cacheRows/max(members, 1))),
		now:   map[planKey]*cachedPlan{},
	}
}

// get returns the plan for k. Concurrent callers wait for one of them to make it.
func (c *planCache) get(k planKey, build func() *plan) *plan {
	c.mu.RLock()
	e := c.now[k]
	c.mu.RUnlock()
	if e == nil {
		e = c.entry(k)
	}
	e.once.Do(func() { e.plan = build() })
	return e.plan
}

func (c *planCache) entry(k planKey) *cachedPlan {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.now[k]; e != nil {
		return e
	}
	if len(c.now) >= c.limit {
		c.now, c.old = map[planKey]*cachedPlan{}, c.now
	}
	e := c.old[k]
	if e == nil {
		e = &cachedPlan{}
	}
	c.now[k] = e
	return e
}
