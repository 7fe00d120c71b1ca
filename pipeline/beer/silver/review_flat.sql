-- One row per live review, with what a reader wants to know of its beer, brewery and author.
-- A beer, brewery or profile that is gone leaves NULLs; the review itself stays.
-- Timestamps are plain UTC here: a DuckDB without ICU has no functions on TIMESTAMPTZ.
SELECT
    r.review_id,
    r.brewery_id,
    w.brewery_name,
    r.beer_id,
    b.beer_name,
    b.beer_style,
    b.beer_abv,
    r.profile_id,
    p.profile_name,
    p.state,
    r.review_overall,
    r.review_aroma,
    r.review_appearance,
    r.review_palate,
    r.review_taste,
    r.review_time,
    r.review_year,
    r.review_month
FROM review AS r
LEFT JOIN brewery AS w ON w.brewery_id = r.brewery_id AND w.deleted_at IS NULL
LEFT JOIN beer AS b ON b.beer_id = r.beer_id AND b.deleted_at IS NULL
LEFT JOIN profile AS p ON p.profile_id = r.profile_id AND p.deleted_at IS NULL
WHERE r.deleted_at IS NULL
