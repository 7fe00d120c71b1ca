-- Every live review beside the names of what it is about. Beer, brewery and profile may be gone: then their columns are NULL.
SELECT r.review_id,
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
       extract(year FROM r.review_time AT TIME ZONE 'UTC')::integer AS review_year,
       extract(month FROM r.review_time AT TIME ZONE 'UTC')::integer AS review_month
FROM dm_core.review AS r
LEFT JOIN dm_core.brewery AS w ON w.brewery_id = r.brewery_id
LEFT JOIN dm_core.beer AS b ON b.beer_id = r.beer_id
LEFT JOIN dm_core.profile AS p ON p.profile_id = r.profile_id
