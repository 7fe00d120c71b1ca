-- Per brewery (the one the review names) and month.
SELECT monthly.brewery_id,
       w.brewery_name,
       round(monthly.score_sum / monthly.reviews, 4)::numeric(5, 4) AS avg_rating,
       monthly.reviews AS total_reviews,
       monthly.review_year,
       monthly.review_month
FROM (
    SELECT brewery_id,
           extract(year FROM review_time AT TIME ZONE 'UTC')::integer AS review_year,
           extract(month FROM review_time AT TIME ZONE 'UTC')::integer AS review_month,
           sum(review_overall) AS score_sum,
           count(*) AS reviews
    FROM dm_core.review
    GROUP BY 1, 2, 3
) AS monthly
LEFT JOIN dm_core.brewery AS w ON w.brewery_id = monthly.brewery_id
