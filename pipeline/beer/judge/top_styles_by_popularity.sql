-- Per beer style and month; reviews of a beer that is gone count under the style NULL.
SELECT b.beer_style,
       count(*) AS total_reviews,
       round(sum(r.review_overall) / count(*), 4)::numeric(5, 4) AS avg_rating,
       extract(year FROM r.review_time AT TIME ZONE 'UTC')::integer AS review_year,
       extract(month FROM r.review_time AT TIME ZONE 'UTC')::integer AS review_month
FROM dm_core.review AS r
LEFT JOIN dm_core.beer AS b ON b.beer_id = r.beer_id
GROUP BY 1, 4, 5
